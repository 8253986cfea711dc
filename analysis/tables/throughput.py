"""What Tables 2 and 6 share: training batches per second, one network alone and in packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import polars as pl

from analysis import paper
from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, order_key, ordered
from analysis.records import Records
from analysis.tables.cells import MISSING, places

RATE = "batches_per_second"
PACKINGS = ("single", "packed")
CORNER = ("batches per second", "batches per second")


def batches_per_second(records: Records, datasets: Sequence[str]) -> pd.DataFrame:
    """Return mean and sample deviation across data sets of batches per second, per defense.

    A data set's rate is the mean of its trials' `train_steps_per_second`. `packing` is `single`
    (packs of one, as in the paper) or `packed` (networks x steps per second of larger packs).
    """
    trials = records.trials.filter(
        pl.col("dataset").is_in(datasets)
        & (pl.col("family") == "mlp")
        & pl.col("train_steps_per_second").is_not_null()
    )
    packing = pl.when(pl.col("pack_size") > 1).then(pl.lit("packed")).otherwise(pl.lit("single"))
    per_dataset = trials.group_by(packing.alias("packing"), "defense", "dataset").agg(
        pl.col("train_steps_per_second").mean().alias("rate"),
        pl.len().alias("trials"),
        pl.col("pack_size").mean(),
    )
    frame = (
        per_dataset.sort("dataset")
        .group_by("packing", "defense")
        .agg(
            pl.col("rate").mean().alias(f"{RATE}_mean"),
            pl.col("rate").std().alias(f"{RATE}_std"),
            pl.len().alias("datasets"),
            pl.col("trials").sum(),
            pl.col("pack_size").mean().alias("mean_pack_size"),
        )
        .to_pandas()
    )
    order = frame.assign(_row=frame["defense"].map(order_key))
    order = order.sort_values(["packing", "_row"], ascending=[False, True])
    return order.drop(columns="_row").reset_index(drop=True)


def _blocks(frame: pd.DataFrame, defenses: Sequence[str]) -> tuple[Block, ...]:
    found = {(place["packing"], place["defense"]): place for place in places(frame)}
    columns = ("single: mean", "deviation", "packed: mean", "deviation", "pack size")
    rows = []
    for defense in ordered({*defenses, *frame["defense"]}):
        single, packed = (found.get((packing, defense), {}) for packing in PACKINGS)
        cells = [_number(p.get(f"{RATE}_{s}")) for p in (single, packed) for s in ("mean", "std")]
        size = packed.get("mean_pack_size")
        cells.append(Cell(MISSING if size is None else f"{round(size, 1):g}"))
        rows.append(Row(label(defense), math_label(defense), tuple(cells)))
    return (Block("", CORNER, columns, tuple(rows)),)


def _compare(frame: pd.DataFrame) -> tuple[Block, ...]:
    found = {(place["packing"], place["defense"]): place for place in places(frame)}
    rows = []
    for theirs in places(frame.drop_duplicates("defense").dropna(subset="paper_mean")):
        defense, mean = theirs["defense"], theirs["paper_mean"]
        ours = [found.get((packing, defense), {}).get(f"{RATE}_mean") for packing in PACKINGS]
        times = [MISSING if rate is None else f"{rate / mean:.1f}×" for rate in ours]
        text = [f"{mean:g}", f"{theirs['paper_std']:g}", *times]
        rows.append(Row(label(defense), math_label(defense), tuple(map(Cell, text))))
    columns = ("the paper", "deviation", "ours single over it", "ours packed over it")
    return (Block("", CORNER, columns, tuple(rows)),)


def _number(value: float | None) -> Cell:
    return Cell(MISSING if value is None or pd.isna(value) else f"{value:.1f}")


def paper_table(number: int, data: str, datasets_of: Callable[[Records], Sequence[str]]) -> Table:
    """Return the paper's Table 2 (`tabular`) or 6 (`vision`)."""
    theirs = paper.throughput(data).rename(
        columns={f"{RATE}_mean": "paper_mean", f"{RATE}_std": "paper_std"}
    )

    def build(records: Records) -> pd.DataFrame:
        frame = batches_per_second(records, datasets_of(records))
        return frame.merge(theirs, on="defense", how="left")

    return Table(
        name=f"table{number}",
        title=f"Table {number}: batches per second, {data} data",
        caption=f"Training batches per second, mean and standard deviation across the {data} "
        "data sets: one network alone, and networks times steps per second in packs.",
        build=build,
        layout=lambda frame: _blocks(frame, tuple(theirs["defense"])),
        compare=_compare,
        compared="and how many times as many ours are",
        experiment="speed",
        paper=True,
    )
