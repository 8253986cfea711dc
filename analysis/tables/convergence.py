"""The convergence check of section 6.1: does some learning rate settle in every cell?"""

from __future__ import annotations

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, order_key
from analysis.records import Records

CELL = ("dataset", "network", "defense", "grid_radius", "batch_size", "scaling", "seed")
LAST = 0.2  # share of the training whose measurements are compared
SPREAD = 0.02  # accuracy; measurements of a settled trial lie within it


def build(records: Records) -> pd.DataFrame:
    """Return per cell how many learning rates converged; a cell is all of `CELL`.

    A trial converged if its validation accuracies in the last fifth of training, the last two
    measurements at least, all exist and lie within two points of one another. Trials measured
    less than twice say nothing and are left out. `converged`: whether any rate of the cell did.
    """
    measured = records.curves.filter(pl.col("quantity") == "validation_accuracy")
    step = pl.col("step")
    since = pl.min_horizontal((1 - LAST) * step.max(), step.top_k(2).min())
    late = pl.col("value").filter(step >= since)
    settled = (late.null_count() == 0) & (late.max() - late.min() <= SPREAD)
    return (
        measured.group_by("trial_id", *CELL)
        .agg(settled=settled, measurements=pl.len(), learning_rate=pl.col("learning_rate").first())
        .filter(pl.col("measurements") >= 2)
        .group_by(CELL)
        .agg(
            pl.len().alias("learning_rates"),
            pl.col("settled").sum().alias("learning_rates_converged"),
            pl.col("settled").any().alias("converged"),
        )
        .sort(CELL)
        .collect()
        .to_pandas()
    )


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print counts per defense and the data sets of the cells without a converged rate."""
    heads = ("cells", "none converged", "rates converged, %", "data sets concerned")
    rows = []
    for defense in sorted(set(frame["defense"]), key=order_key):
        cells = frame[frame["defense"] == defense]
        never = cells[~cells["converged"]]
        share = cells["learning_rates_converged"].sum() / cells["learning_rates"].sum()
        names = sorted(set(never["dataset"]))
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        text = [str(len(cells)), str(len(never)), f"{100 * share:.0f}", shown or "none"]
        rows.append(Row(label(defense), math_label(defense), tuple(map(Cell, text))))
    return (Block("", ("defense", "defense"), heads, tuple(rows)),)


TABLE = Table(
    name="convergence",
    title="Cells in which no learning rate converged",
    caption="Cells of data set, network, defense, training radius, batch size, scaling and seed. "
    "A trial converged if its validation accuracies in the last fifth of training (at least the "
    "last two) lie within two points. The CSV lists every cell.",
    build=build,
    layout=layout,
)
