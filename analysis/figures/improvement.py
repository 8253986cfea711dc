"""What Figures 3 and 4 share: by how much one defense improves on another, per data set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isclose

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Agreement, Figure
from analysis.figures.plotting import RC, Layout, nothing, panel_grid
from analysis.names import label, math_label, style
from analysis.ranks import attacked_accuracies
from analysis.records import Records

BIN = 5  # percent points
DIGITS = 4  # of percent points: what differs by less is the same
NO_CHANGE, WORSE = "#FFFFFF", "#BBBBBB"


def improvements(records: Records, defense: str, reference: str, attack: str) -> pd.DataFrame:
    """Return the test accuracy of both and their difference, per data set and radius.

    `improvement` is in percent points. Only data sets on which both were run; where one of the
    two has no finished network its accuracy and the improvement are missing.
    """
    frame = attacked_accuracies(records, records.tabular_datasets).filter(
        pl.col("attack") == attack
    )
    place = ["dataset", "attack_grid_radius"]
    both = frame.filter(pl.col("defense") == defense).join(
        frame.filter(pl.col("defense") == reference), on=place, suffix="_reference"
    )
    return (
        both.select(
            "attack_grid_radius",
            "dataset",
            accuracy=pl.col("accuracy"),
            reference_accuracy=pl.col("accuracy_reference"),
            improvement=(100 * (pl.col("accuracy") - pl.col("accuracy_reference"))).round(DIGITS),
        )
        .filter(pl.any_horizontal(pl.col("accuracy", "reference_accuracy").is_not_null()))
        .sort("attack_grid_radius", "dataset")
        .to_pandas()
    )


def histogram(values: pd.Series) -> tuple[list[float], list[int]]:
    """Return left edges and counts of bins five points wide, `[edge, edge + 5)`.

    Data sets without any difference are at home in `[0, 5)`; those where the difference is
    missing are in none.
    """
    values = values.dropna()
    if values.empty:
        return [], []
    bins = np.floor(values.to_numpy(np.float64) / BIN).astype(int)
    edges = range(bins.min(), bins.max() + 1)
    return [float(BIN * e) for e in edges], [int((bins == e).sum()) for e in edges]


def _draw(frame: pd.DataFrame, radii: Sequence[float], defense: str, reference: str) -> Canvas:
    found = {radius: frame[_near(frame, radius)]["improvement"] for radius in radii}
    shown = {radius: values for radius, values in found.items() if len(values)} or found
    edges = [edge for values in shown.values() for edge in histogram(values)[0]]
    with mpl.rc_context(RC):
        layout = Layout(1.75, gap_x=0.32, gap_y=0)
        figure, panels = panel_grid(1, len(shown), layout, sharey=True)
        for letter, (radius, values), axes in zip("abc", shown.items(), panels.flat, strict=False):
            _panel(axes, values, style(defense).color)
            axes.set_xlim(min([-20.0, *edges]), max([20.0, *(edge + BIN for edge in edges)]))
            known, run = values.notna().sum(), len(values)
            number = f"{run}" if known == run else f"{known} of {run}"
            axes.set_title(rf"({letter}) $\rho={radius:g}$, {number} data sets")
            axes.set_xlabel(f"{math_label(defense)} over {math_label(reference)}, points")
        panels[0, 0].set_ylabel("data sets")
        panels[0, 0].yaxis.get_major_locator().set_params(integer=True)
    return figure


def _near(frame: pd.DataFrame, radius: float) -> list[bool]:
    return [isclose(r, radius, rel_tol=1e-6) for r in frame["attack_grid_radius"]]


def _panel(axes: Axes, values: pd.Series, color: str) -> None:
    edges, counts = histogram(values)
    faces = [color if edge >= 0 else WORSE for edge in edges]
    axes.bar(edges, counts, width=BIN, align="edge", color=faces, edgecolor="black", linewidth=0.5)
    if unchanged := int((values == 0).sum()):  # the lower part of the bar of their bin
        axes.bar(
            0, unchanged, BIN, align="edge", color=NO_CHANGE, edgecolor="black", linewidth=0.5
        )
    axes.axvline(0, color="black", linewidth=0.9)
    if not edges:
        nothing(axes)


def paper_figure(
    number: int,
    defense: str,
    reference: str,
    attack: str,
    radii: tuple[float, float, float],
    agree: Callable[[pd.DataFrame], Agreement],
) -> Figure:
    """Return the paper's Figure 3 or 4."""
    names = f"{label(defense)} over {label(reference)}"
    return Figure(
        name=f"figure{number}",
        title=f"Figure {number}: improvement of {names}",
        caption=f"Number of tabular data sets on which {label(defense)} improves adversarial "
        f"accuracy over {label(reference)} by so many percent points, under {label(attack)} "
        f"attacks of grid radius {', '.join(f'{r:g}' for r in radii)}. Grey: it lowers it; "
        "white: no difference. Of the data sets on which both were run, those are shown on which "
        "both have a finished network.",
        build=lambda records: improvements(records, defense, reference, attack),
        draw=lambda frame: _draw(frame, radii, defense, reference),
        agree=agree,
        experiment="uci_full",
        paper=True,
    )
