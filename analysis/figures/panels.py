"""One small panel per data set, percent over the radii of L1 balls: fast for fifty of them.

All panels are drawn on one pair of axes in inches, and one artist holds a defense's curves of all
panels: axes of their own would take several times as long as what they show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, nan
from textwrap import fill, wrap

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection

from analysis.figures.plotting import (
    RC,
    Canvas,
    defense_legend,
    line,
    power_ticks,
    radius_positions,
)
from analysis.names import dataset_title, math_label, ordered, style
from analysis.statistics import Array

ACROSS = 5
# Inches: a panel with its title, the margins around all of them, the gaps between.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 7.2, 1.25, 0.5, 0.1, 0.36, 0.95
GAP_X, GAP_Y = 0.1, 0.33
SIZE = 7.5
LINE, TWO_LINES = 22, 40  # characters of a title
MARGIN = 0.2  # of the radius axis, in powers of ten


@dataclass(frozen=True)
class Curve:
    """One defense's percentages in one panel; with `upper`, the band between the two."""

    defense: str
    radii: Sequence[float]
    percent: Sequence[float]
    upper: Sequence[float] | None = None


@dataclass(frozen=True)
class _Box:
    """A panel's place on the page and what it spans."""

    left: float
    bottom: float
    width: float
    height: float
    positions: Mapping[float, float]

    def x(self, positions: Iterable[float]) -> Array:
        low, high = min(self.positions.values()) - MARGIN, max(self.positions.values()) + MARGIN
        return self.left + self.width * (np.array([*positions]) - low) / (high - low)

    def y(self, percent: Iterable[float]) -> Array:
        return self.bottom + self.height * np.array([*percent]) / 100


def dataset_panels(
    frame: pd.DataFrame, curves: Callable[[pd.DataFrame], Iterable[Curve]], ylabel: str
) -> Canvas:
    """Return a figure with a panel per data set, alike axes and one legend."""
    datasets = list(dict.fromkeys(frame["dataset"]))
    across = min(ACROSS, len(datasets))
    page = TOP + ceil(len(datasets) / across) * HEIGHT + BOTTOM
    titles = panel_titles([str(dataset) for dataset in datasets])
    positions = radius_positions(set(frame["attack_grid_radius"]))
    boxes = [_box(index, across, page, positions) for index in range(len(datasets))]
    with mpl.rc_context(RC | {"font.size": SIZE}):
        figure = Canvas(figsize=(WIDTH, page))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(0, page)
        for index, (box, title) in enumerate(zip(boxes, titles, strict=True)):
            lowest, leftmost = index + across >= len(datasets), index % across == 0
            _labels(axes, box, title, lowest, ylabel if leftmost else "")
        _frames(axes, boxes)
        shown = [(b, c) for b, d in zip(boxes, datasets, strict=True)
                 for c in curves(frame[frame["dataset"] == d])]  # fmt: skip
        for defense in ordered({curve.defense for _, curve in shown}):
            _draw(axes, [(box, c) for box, c in shown if c.defense == defense], defense)
        defense_legend(figure, axes, list(frame["defense"]))
    return figure


def panel_titles(names: Sequence[str]) -> list[str]:
    """Return a title for each data set, all different: cut in their middles where they are long.

    Names are told apart by their ends (`...-original`, `...-diagnostic`). Those that would be cut
    to equal titles keep as much as tells them apart. Two spellings of one set keep their own.
    """
    printed = [dataset_title(name) for name in names]
    titles = [t if printed.count(t) == 1 else n for t, n in zip(printed, names, strict=True)]
    most = TWO_LINES
    cut = [_cut(title, most) for title in titles]
    while len(set(cut)) < len(set(titles)):
        most += 1
        cut = [
            _cut(title, most) if cut.count(short) > 1 else short
            for title, short in zip(titles, cut, strict=True)
        ]
    return cut


def _cut(title: str, most: int) -> str:
    """Return a title in so many characters, its middle left out if need be."""
    if len(title) <= most:
        return title
    end = (most - 1) // 2
    return f"{title[: most - 1 - end]}…{title[-end:]}"


def _title_size(title: str) -> float:
    """Return the size of type in which a title's lines fit above a panel."""
    lines = len(wrap(title, LINE))
    return 7.0 if lines < 2 else 12.0 / lines


def _box(index: int, across: int, page: float, positions: Mapping[float, float]) -> _Box:
    row, column = divmod(index, across)
    step = (WIDTH - LEFT - RIGHT + GAP_X) / across
    bottom = page - TOP - (row + 1) * HEIGHT + GAP_Y
    return _Box(LEFT + column * step, bottom, step - GAP_X, HEIGHT - GAP_Y, positions)


def _draw(axes: Axes, curves: Sequence[tuple[_Box, Curve]], defense: str) -> None:
    """Draw one defense's curves in all panels, broken between them."""
    look = style(defense)
    x = _joined(box.x(box.positions[r] for r in curve.radii) for box, curve in curves)
    low = _joined(box.y(curve.percent) for box, curve in curves)
    bands = [(box, curve, curve.upper) for box, curve in curves if curve.upper is not None]
    if not bands:
        line(axes, x, low, defense)
        return
    high = _joined(box.y(upper) for box, _, upper in bands)
    corners = [_outline(box, curve, upper) for box, curve, upper in bands]
    fill = PolyCollection(corners, facecolors=look.color, alpha=0.3, linewidths=0)
    fill.set_label(math_label(defense))
    axes.add_collection(fill, autolim=False)
    for y, width in ((low, 1.1), (high, 0.6)):
        axes.plot(x, y, color=look.color, linestyle=look.dash, linewidth=width)


def _outline(box: _Box, curve: Curve, upper: Sequence[float]) -> Array:
    x = box.x(box.positions[radius] for radius in curve.radii)
    there = np.column_stack([x, box.y(curve.percent)])
    return np.concatenate([there, np.column_stack([x, box.y(upper)])[::-1]])


def _joined(parts: Iterable[Array]) -> list[float]:
    return [value for part in parts for value in (*part.tolist(), nan)][:-1]


def _frames(axes: Axes, boxes: Sequence[_Box]) -> None:
    """Draw the grids, axes and marks of all panels."""
    grid, rules, breaks = [], [], []
    for box in boxes:
        left, right, floor, ceiling = box.left, box.left + box.width, *box.y([0, 100])
        ticks = box.x(place for place, _ in power_ticks(box.positions, every=2))
        grid += [[(left, y), (right, y)] for y in box.y([50, 100])]
        grid += [[(x, floor), (x, ceiling)] for x in ticks]
        rules += [[(left, ceiling), (left, floor), (right, floor)]]
        rules += [[(x, floor), (x, floor - 0.035)] for x in ticks]
        rules += [[(left, y), (left - 0.035, y)] for y in box.y([0, 50, 100])]
        if 0.0 in box.positions:
            x = float(box.x([box.positions[0.0] + 0.5])[0])
            breaks.append([(x, floor), (x, ceiling)])
    for lines, color, width, dash in (
        (grid, "#dddddd", 0.5, "-"),
        (breaks, "#999999", 0.6, (0, (2, 2))),
        (rules, "black", 0.8, "-"),
    ):
        drawn = LineCollection(lines, colors=color, linewidths=width, linestyles=[dash], zorder=1)
        axes.add_collection(drawn, autolim=False)


def _labels(axes: Axes, box: _Box, title: str, lowest: bool, ylabel: str) -> None:
    """Name a panel, and its axes where no other stands below or to its left."""
    middle, top = box.left + box.width / 2, box.bottom + box.height
    # A dollar sign in a name is one, and no mathematics.
    axes.text(
        *(middle, top + 0.04, fill(title, LINE)),
        ha="center", va="bottom", fontsize=_title_size(title), linespacing=1.0, parse_math=False,
    )  # fmt: skip
    if lowest:
        for place, text in power_ticks(box.positions, every=2):
            axes.text(box.x([place])[0], box.bottom - 0.06, text, ha="center", va="top")
        x_title = r"$\rho$ (ball $\rho\sqrt{D}$)"
        axes.text(middle, box.bottom - 0.22, x_title, ha="center", va="top")
    if ylabel:
        for percent in (0, 50, 100):
            y = box.y([percent])[0]
            axes.text(box.left - 0.06, y, str(percent), ha="right", va="center")
        centre = box.bottom + box.height / 2
        axes.text(0.08, centre, ylabel, rotation="vertical", ha="center", va="center")
