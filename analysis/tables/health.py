"""What stands behind the tables: trials complete, diverged, failed, missing, and their flags."""

from __future__ import annotations

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, order_key
from analysis.records import Records
from analysis.tables.cells import handed
from sweep.results.schema import STATUSES

CELL = ("dataset", "family", "defense")


def build(records: Records) -> pd.DataFrame:
    """Return trials by status and health flag per data set, network family and defense.

    `short` is how many trials fewer a cell has than the fullest cell of its defense and family:
    a hint at what is missing, exact counts being the manifest's.
    """
    flags = sorted({f for text in records.trials["flags"].unique() for f in text.split()})
    has = {f: pl.col("flags").str.split(" ").list.contains(f).sum() for f in flags}
    counts = {status: (pl.col("status") == status).sum() for status in STATUSES}
    frame = (
        records.trials.group_by(CELL)
        .agg(
            pl.len().alias("trials"),
            **counts,
            leaky=pl.col("leaky").any(),
            simulated=pl.col("simulated").any(),
            **{f"flag_{name}": expression for name, expression in has.items()},
        )
        .with_columns(
            short=pl.col("trials").max().over("family", "defense")
            - pl.col("trials").cast(pl.Int64)
        )
    )
    return handed(frame, "dataset", "family", "defense")


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print sums per family and defense."""
    flags = [name for name in frame.columns if str(name).startswith("flag_")]
    columns = ["trials", *STATUSES, "short", *flags]
    heads = ("data sets", *(str(c).removeprefix("flag_").replace("_", " ") for c in columns))
    blocks = []
    for family, group in frame.groupby("family"):
        rows = []
        for defense in sorted(set(group["defense"]), key=order_key):
            cells = group[group["defense"] == defense]
            numbers = [cells["dataset"].nunique(), *(int(cells[c].sum()) for c in columns)]
            shown = tuple(Cell(str(n)) for n in numbers)
            rows.append(Row(label(defense), math_label(defense), shown))
        title = {"mlp": "Dense networks", "cnn": "Convolutional networks"}[str(family)]
        blocks.append(Block(title, ("defense", "defense"), heads, tuple(rows)))
    return tuple(blocks)


TABLE = Table(
    name="health",
    title="Trials behind the tables",
    caption="Trials by outcome and health flag. Diverged and failed trials are never selected. "
    "`short`: trials fewer than on the fullest data set.",
    build=build,
    layout=layout,
)
