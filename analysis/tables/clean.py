"""Clean accuracy of robust training over nominal training: the paper's claim that it helps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label
from analysis.posthoc import wilcoxon
from analysis.ranks import means_of_all
from analysis.records import Records
from analysis.select import selected
from analysis.statistics import bootstrap_interval
from analysis.tables.cells import MISSING, handed

REFERENCE = "nominal"
DIGITS = 4  # of percent points: what differs by less is the same


def build(records: Records) -> pd.DataFrame:
    """Return test accuracy at radius 0 per data set and defense, beside nominal training's.

    Each defense's trial is the one with the highest clean validation accuracy. Percent points,
    missing where one of the two has no finished network on the data set.
    """
    clean = selected(records).filter(pl.col("attack_grid_radius") == 0)
    if clean.is_empty():
        return pd.DataFrame()
    # At radius 0 every attack is the identity; one of them is enough.
    attacks = sorted(set(clean["attack"].to_list()), key=lambda a: (a != "pgd-linf", a))
    per_attack = clean.filter(pl.col("attack") == attacks[0])
    accuracies = means_of_all(per_attack, records, ()).with_columns(
        percent=100 * pl.col("accuracy")
    )
    nominal = accuracies.filter(pl.col("defense") == REFERENCE)
    frame = (
        accuracies.filter(pl.col("defense") != REFERENCE)
        .join(nominal.select("dataset", nominal_percent="percent"), on="dataset")
        .with_columns(difference=(pl.col("percent") - pl.col("nominal_percent")).round(DIGITS))
        .filter(pl.any_horizontal(pl.col("percent", "nominal_percent").is_not_null()))
        .select("dataset", "defense", "percent", "nominal_percent", "difference", "repetitions")
    )
    return handed(frame, "defense", "dataset")


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one row per defense: mean difference, interval, wins, p."""
    heads = (
        "data sets finished",
        "mean difference",
        "95% bootstrap",
        "better",
        "equal",
        "worse",
        "p",
    )
    rows = []
    for defense, group in frame.groupby("defense", sort=False):
        known = group.dropna(subset="difference")
        gain = known["difference"].to_numpy(np.float64)
        if not len(gain):
            rows.append(_row(str(defense), [f"0 of {len(group)}", *[MISSING] * 6]))
            continue
        low, high = bootstrap_interval(gain)
        p = wilcoxon(known[["percent", "nominal_percent"]].to_numpy(np.float64))[0]
        signs = [int((gain > 0).sum()), int((gain == 0).sum()), int((gain < 0).sum())]
        span = f"{float(low):+z.2f} to {float(high):+z.2f}"
        text = [
            f"{len(gain)} of {len(group)}",
            f"{gain.mean():+z.2f}",
            span,
            *signs,
            MISSING if np.isnan(p) else f"{p:.3f}",
        ]
        rows.append(_row(str(defense), text))
    return (Block("", ("over nominal", "over nominal"), heads, tuple(rows)),)


def _row(defense: str, text: Sequence[object]) -> Row:
    return Row(label(defense), math_label(defense), tuple(Cell(str(t)) for t in text))


TABLE = Table(
    name="clean",
    title="Does robust training help clean accuracy?",
    caption="Test accuracy at radius 0 minus that of nominal training, in percent points, across "
    "data sets; both selected on clean validation accuracy. Robust training has more trials to "
    "choose among. p: Wilcoxon's signed-rank test.",
    build=build,
    layout=layout,
)
