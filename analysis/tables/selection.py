"""Selection noise: how often validation picks the trial that is best on test, and the gap."""

from __future__ import annotations

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label
from analysis.records import CELL, REPETITION, Records
from analysis.select import selected
from analysis.tables.cells import handed, places

ARM = ("dataset", "defense", *REPETITION)


def build(records: Records) -> pd.DataFrame:
    """Return per defense and attack how the chosen trials compare with the best on test.

    Where several tie on validation, the mean of their test accuracies is compared.

    `gap` is the best candidate's test accuracy minus the chosen one's, `optimism` the chosen
    one's validation accuracy minus its test accuracy; percent points over data sets, radii and
    repetitions. The choices themselves are those of all tables, made without test data.
    """
    chosen = selected(records).drop_nulls("accuracy").drop("num_samples")
    arms = records.trials.filter((pl.col("family") == "mlp") & (pl.col("status") == "complete"))
    best = (
        records.test.lazy()
        .join(arms.lazy().select("trial", pl.struct(ARM).rank("dense").alias("arm")), on="trial")
        .group_by("arm", "cell")
        .agg(pl.col("accuracy").max().alias("best"), pl.col("trial").first())
        .join(arms.lazy().select("trial", *ARM), on="trial")
        .join(records.cells.lazy(), on="cell")
        .select(*ARM, *CELL, "best")
        .collect()
    )
    gap = 100 * (pl.col("best") - pl.col("accuracy"))
    frame = (
        chosen.join(best, on=[*ARM, *CELL])
        .with_columns(gap=gap, optimism=100 * (pl.col("validation_accuracy") - pl.col("accuracy")))
        .group_by("defense", "attack")
        .agg(
            pl.len().alias("choices"),
            # Rounded, since the order in which rows are added changes the last digit.
            (100 * (pl.col("gap") == 0).mean()).round(9).alias("picked_best_percent"),
            pl.col("gap").mean().round(9).alias("mean_gap"),
            pl.col("gap").quantile(0.95).round(9).alias("gap_95"),
            pl.col("optimism").mean().round(9).alias("mean_optimism"),
        )
    )
    return handed(frame, "defense", "attack")


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one row per defense, over all attacks."""
    heads = ("choices", "picked the best, %", "mean gap", "largest 95% gap", "optimism")
    rows = []
    for defense, group in frame.groupby("defense", sort=False):
        weight = group["choices"] / group["choices"].sum()
        means = [
            float((group[name] * weight).sum())
            for name in ("picked_best_percent", "mean_gap", "mean_optimism")
        ]
        text = [
            f"{group['choices'].sum()}",
            f"{means[0]:.1f}",
            f"{means[1]:.2f}",
            f"{max(place['gap_95'] for place in places(group)):.2f}",
            f"{means[2]:+z.2f}",
        ]
        rows.append(Row(label(str(defense)), math_label(str(defense)), tuple(map(Cell, text))))
    return (Block("", ("defense", "defense"), heads, tuple(rows)),)


TABLE = Table(
    name="selection",
    title="Selection noise",
    caption="How often the trial chosen on validation data is also the best on test data, by how "
    "many points it falls short, and by how much its validation accuracy flatters it.",
    build=build,
    layout=layout,
)
