"""A figure of the mean accuracy of each defense."""

from __future__ import annotations

import pandas as pd
import polars as pl
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.names import math_label, style
from analysis.ranks import attacked_accuracies, comparisons
from analysis.records import Records


def build(records: Records) -> pd.DataFrame:
    """Return rows `defense, accuracy`: the mean over attacks, radii and data sets."""
    cells = comparisons(attacked_accuracies(records, records.datasets))
    rows = [
        {"defense": defense, "accuracy": float(score)}
        for cell in cells
        for defense, score in zip(cell.defenses, cell.scores.mean(axis=0), strict=True)
    ]
    frame = pl.DataFrame(rows, schema={"defense": pl.String, "accuracy": pl.Float64})
    return frame.group_by("defense").agg(pl.mean("accuracy")).sort("defense").to_pandas()


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw a bar for each defense."""
    figure = Canvas(figsize=(4, 2), layout="constrained")
    names = [math_label(name) for name in frame["defense"]]
    figure.subplots().barh(
        names, frame["accuracy"], color=[style(d).color for d in frame["defense"]]
    )
    return figure


FIGURE = Figure("shares", "Shares", "Mean accuracy of each defense.", build, draw)
