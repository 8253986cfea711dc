"""Clean accuracy of robust training over nominal training: the paper's claim that it helps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, order_key
from analysis.posthoc import wilcoxon
from analysis.records import Records
from analysis.select import mean_over_repetitions, selected
from analysis.stats import bootstrap_interval
from analysis.tables.cells import MISSING

REFERENCE = "nominal"


def build(records: Records) -> pd.DataFrame:
    """Return test accuracy at radius 0 per data set and defense, beside nominal training's.

    Each defense's trial is the one with the highest clean validation accuracy. Percent points.
    """
    clean = selected(records).filter(pl.col("attack_grid_radius") == 0)
    if clean.is_empty():
        return pd.DataFrame()
    # At radius 0 every attack is the identity; one of them is enough.
    attacks = sorted(set(clean["attack"].to_list()), key=lambda a: (a != "pgd-linf", a))
    per_attack = clean.filter(pl.col("attack") == attacks[0])
    accuracies = mean_over_repetitions(per_attack, ("dataset", "defense")).with_columns(
        percent=100 * pl.col("accuracy")
    )
    nominal = accuracies.filter(pl.col("defense") == REFERENCE)
    frame = (
        accuracies.filter(pl.col("defense") != REFERENCE)
        .join(nominal.select("dataset", nominal_percent="percent"), on="dataset")
        .with_columns(difference=(pl.col("percent") - pl.col("nominal_percent")).round(9))
        .select("dataset", "defense", "percent", "nominal_percent", "difference", "repetitions")
        .to_pandas()
    )
    order = frame.assign(_row=frame["defense"].map(order_key)).sort_values(["_row", "dataset"])
    return order.drop(columns="_row").reset_index(drop=True)


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one row per defense: mean difference, interval, wins, p."""
    heads = ("data sets", "mean difference", "95% bootstrap", "better", "equal", "worse", "p")
    rows = []
    for defense, group in frame.groupby("defense", sort=False):
        gain = group["difference"].to_numpy(np.float64)
        low, high = bootstrap_interval(gain)
        p = wilcoxon(group[["percent", "nominal_percent"]].to_numpy(np.float64))[0]
        signs = [int((gain > 0).sum()), int((gain == 0).sum()), int((gain < 0).sum())]
        span = f"{float(low):+z.2f} to {float(high):+z.2f}"
        text = [
            len(gain),
            f"{gain.mean():+z.2f}",
            span,
            *signs,
            MISSING if np.isnan(p) else f"{p:.3f}",
        ]
        cells = tuple(Cell(str(t)) for t in text)
        rows.append(Row(label(str(defense)), math_label(str(defense)), cells))
    return (Block("", ("over nominal", "over nominal"), heads, tuple(rows)),)


TABLE = Table(
    name="clean",
    title="Does robust training help clean accuracy?",
    caption="Test accuracy at radius 0 minus that of nominal training, in percent points, across "
    "data sets; both selected on clean validation accuracy. Robust training has more trials to "
    "choose among. p: Wilcoxon's signed-rank test.",
    build=build,
    layout=layout,
)
