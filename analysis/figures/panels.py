"""One small panel per data set, percent over the radii of L1 balls: fast for fifty of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.figures.drawing import RC, defense_legend, radius_axis
from analysis.names import dataset_title

Paint = Callable[[Axes, pd.DataFrame, Mapping[float, float]], None]
ACROSS = 5
# Inches: a panel with its title, the margins around all of them.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 7.2, 1.25, 0.5, 0.1, 0.3, 0.95


def dataset_panels(frame: pd.DataFrame, paint: Paint, ylabel: str) -> Canvas:
    """Return a figure with a panel per data set, alike axes and one legend.

    `paint` draws a data set's rows, given the place of each radius on the x axis. Margins and
    limits are fixed beforehand: fitting or sharing them takes fifty panels longer than drawing.
    """
    datasets = list(dict.fromkeys(frame["dataset"]))
    across = min(ACROSS, len(datasets))
    down = ceil(len(datasets) / across)
    height = TOP + down * HEIGHT + BOTTOM
    with mpl.rc_context(RC | {"font.size": 7.5}):
        figure = Canvas(figsize=(WIDTH, height))
        panels = figure.subplots(down, across, squeeze=False).ravel()
        figure.subplots_adjust(
            left=LEFT / WIDTH, right=1 - RIGHT / WIDTH,
            bottom=BOTTOM / height, top=1 - TOP / height, hspace=0.35, wspace=0.08,
        )  # fmt: skip
        for index, (axes, dataset) in enumerate(zip(panels, datasets, strict=False)):
            lowest, leftmost = index + across >= len(datasets), index % across == 0
            positions = _axes(axes, list(frame["attack_grid_radius"]), lowest, leftmost)
            paint(axes, frame[frame["dataset"] == dataset], positions)
            axes.set_title(_short(dataset_title(str(dataset))), fontsize=7, pad=2)
            if leftmost:
                axes.set_ylabel(ylabel)
        for axes in panels[len(datasets) :]:
            axes.set_visible(False)
        fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
        defense_legend(figure, fullest, list(frame["defense"]), "lower center")
    return figure


def _axes(axes: Axes, radii: list[float], lowest: bool, leftmost: bool) -> Mapping[float, float]:
    """Fix a panel's limits and label it where no other panel stands below or to its left."""
    axes.set_autoscale_on(False)
    axes.set_ylim(0, 100)
    positions = radius_axis(axes, radii, every=2)
    axes.set_xlim(min(positions.values()) - 0.2, max(positions.values()) + 0.2)
    axes.tick_params(labelbottom=lowest, labelleft=leftmost)
    if lowest:
        axes.set_xlabel(r"$\rho$ (ball $\rho\sqrt{D}$)")
    return positions


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:22]}…"
