"""What Tables 2 and 6 share: training batches per second, one network alone and in packs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row
from analysis.names import label, math_label, order_key
from analysis.records import Records


def batches_per_second(records: Records, datasets: Sequence[str]) -> pd.DataFrame:
    """Return mean and sample deviation across data sets of batches per second, per defense.

    A data set's rate is the mean of its trials' `train_steps_per_second`. `packing` is `single`
    (packs of one, as in the paper) or `packed` (networks x steps per second of larger packs).
    """
    trials = records.trials.filter(
        pl.col("dataset").is_in(datasets)
        & pl.col("network").str.starts_with("mlp")
        & pl.col("train_steps_per_second").is_not_null()
    ).with_columns(
        packing=pl.when(pl.col("pack_size") > 1).then(pl.lit("packed")).otherwise(pl.lit("single"))
    )
    frame = (
        trials.group_by("packing", "defense", "dataset")
        .agg(
            pl.col("train_steps_per_second").mean().alias("rate"),
            pl.len().alias("trials"),
            pl.col("pack_size").mean(),
        )
        .group_by("packing", "defense")
        .agg(
            pl.col("rate").mean().alias("batches_per_second_mean"),
            pl.col("rate").std().alias("batches_per_second_std"),
            pl.len().alias("datasets"),
            pl.col("trials").sum(),
            pl.col("pack_size").mean().alias("mean_pack_size"),
        )
        .to_pandas()
    )
    order = frame["defense"].map(order_key)
    return (
        frame.assign(_o=order)
        .sort_values(["packing", "_o"], ascending=[False, True])
        .drop(columns="_o")
        .reset_index(drop=True)
    )


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one row per defense: single, then packed."""
    places = {(r.packing, r.defense): r for r in frame.itertuples()}
    columns = ("single: mean", "deviation", "packed: mean", "deviation", "pack size")
    rows = []
    for defense in sorted(set(frame["defense"]), key=order_key):
        cells = []
        for packing in ("single", "packed"):
            place = places.get((packing, defense))
            for name in ("batches_per_second_mean", "batches_per_second_std"):
                cells.append(_number(None if place is None else getattr(place, name)))
        packed = places.get(("packed", defense))
        cells.append(_number(None if packed is None else packed.mean_pack_size))
        rows.append(Row(label(defense), math_label(defense), tuple(cells)))
    corner = ("batches per second", "batches per second")
    return (Block("", corner, columns, tuple(rows)),)


def _number(value: object) -> Cell:
    if not isinstance(value, float) or value != value:
        return Cell("–")
    return Cell(f"{value:.1f}")
