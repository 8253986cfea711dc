"""What Tables 2 and 6 share: training batches per second, one network alone and in packs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import polars as pl

from analysis import paper
from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, ordered
from analysis.paper import agreement
from analysis.records import Records
from analysis.tables.cells import MISSING, Place, handed, places

RATE = "batches_per_second"
CORNER = ("batches per second", "batches per second")
MOST_SIZES = 2  # of packs, printed side by side


def batches_per_second(records: Records, datasets: Sequence[str]) -> pd.DataFrame:
    """Return mean and sample deviation across data sets of batches per second, per defense.

    A data set's rate is the mean of its trials' `train_steps_per_second`. `packing` is `single`
    (packs of one, as in the paper) or `packed` (networks x steps per second of larger packs).
    The rate grows with the pack, so that packs of each `pack_size` have rows of their own.
    `devices` are those that were timed.
    """
    trials = records.trials.filter(
        pl.col("dataset").is_in(datasets)
        & (pl.col("family") == "mlp")
        & pl.col("train_steps_per_second").is_finite()
    )
    packing = pl.when(pl.col("pack_size") > 1).then(pl.lit("packed")).otherwise(pl.lit("single"))
    per_dataset = trials.group_by(packing.alias("packing"), "pack_size", "defense", "dataset").agg(
        pl.col("train_steps_per_second").mean().alias("rate"),
        pl.len().alias("trials"),
        pl.col("device").unique(),
    )
    frame = (
        per_dataset.sort("dataset")
        .group_by("packing", "pack_size", "defense")
        .agg(
            pl.col("rate").mean().alias(f"{RATE}_mean"),
            pl.col("rate").std().alias(f"{RATE}_std"),
            pl.len().alias("datasets"),
            pl.col("trials").sum(),
            pl.col("device").explode().unique().sort().str.join("; ").alias("devices"),
        )
    )
    return handed(frame, "pack_size", "defense")


def shared_sizes(frame: pd.DataFrame) -> list[int]:
    """Return the sizes of larger packs to print: those that most defenses have, then larger ones.

    Defenses are compared within one size only.
    """
    packed = frame[frame["packing"] == "packed"]
    defenses = packed.groupby("pack_size")["defense"].nunique()
    sizes = sorted(defenses.index, key=lambda size: (defenses[size], size), reverse=True)
    return [int(size) for size in sizes[:MOST_SIZES]]


def _found(frame: pd.DataFrame) -> dict[tuple[int, str], Place]:
    """Return the rows by pack size, 1 for a network alone, and defense."""
    return {(max(1, place["pack_size"]), place["defense"]): place for place in places(frame)}


def _blocks(frame: pd.DataFrame) -> tuple[Block, ...]:
    found, sizes = _found(frame), _sizes(frame)
    heads = ["single" if size == 1 else f"packs of {size}" for size in sizes]
    columns = [c for head in heads for c in (f"{head}: mean", "deviation", "data sets")]
    rows = []
    for defense in ordered(set(frame["defense"])):
        cells = []
        for place in (found.get((size, defense), {}) for size in sizes):
            cells += [_number(place.get(f"{RATE}_{kind}")) for kind in ("mean", "std")]
            cells.append(Cell(str(place.get("datasets", MISSING))))
        rows.append(Row(label(defense), math_label(defense), tuple(cells)))
    devices = ", ".join(sorted({d for text in frame["devices"] for d in text.split("; ") if d}))
    return (Block(f"on {devices}" if devices else "", CORNER, tuple(columns), tuple(rows)),)


def _sizes(frame: pd.DataFrame) -> list[int]:
    """Return the sizes of packs to print, a network alone first where it was timed."""
    alone = [1] if (frame["packing"] == "single").any() else []
    return [*alone, *shared_sizes(frame)]


def _compare(frame: pd.DataFrame) -> tuple[Block, ...]:
    found, sizes = _found(frame), _sizes(frame)
    rows = []
    for theirs in places(frame.drop_duplicates("defense").dropna(subset="paper_mean")):
        defense, mean = theirs["defense"], theirs["paper_mean"]
        ours = [found.get((size, defense), {}).get(f"{RATE}_mean") for size in sizes]
        times = [MISSING if rate is None else f"{rate / mean:.1f}×" for rate in ours]
        text = [f"{mean:g}", f"{theirs['paper_std']:g}", *times]
        rows.append(Row(label(defense), math_label(defense), tuple(map(Cell, text))))
    heads = ["ours single over it" if s == 1 else f"ours in packs of {s} over it" for s in sizes]
    return (Block("", CORNER, ("the paper", "deviation", *heads), tuple(rows)),)


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
        "data sets that are counted: one network alone, and networks times steps per second in "
        "packs of one size. Packs of other sizes are in the CSV: rates compare within a size.",
        build=build,
        layout=_blocks,
        compare=_compare,
        compared="and how many times as many ours are",
        agree=lambda frame: agreement.speeds(frame, f"{RATE}_mean"),
        experiment="speed",
        paper=True,
    )
