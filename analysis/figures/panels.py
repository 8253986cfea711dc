"""Small panels in pages, percent over the radii of balls: fast for fifty of them.

All panels of a page are drawn on one pair of axes in inches, and one artist holds a defense's
curves of all panels: axes of their own would take several times as long as what they show.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, nan
from textwrap import fill, wrap

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from analysis.figures.plotting import (
    LEGEND_ROW,
    NARROW,
    RC,
    Canvas,
    defense_legend,
    is_narrow,
    legend_columns,
    line,
    power_ticks,
    radius_positions,
)
from analysis.names import dataset_title, ordered
from analysis.statistics import Array

ACROSS = 5
MOST_LEGEND = 4  # rows of a legend that a page has room for
PAGE = 11.0  # inches, the shorter of the usual sheets
# Inches: a panel with its title, the margins around all of them, the gaps between.
WIDTH, HEIGHT, LEFT, RIGHT, TOP, FOOT = 7.2, 1.25, 0.5, 0.1, 0.36, 0.15
GAP_X, GAP_Y = 0.1, 0.33
SIZE = 7.5
LINE, TWO_LINES = 22, 40  # characters of a title
MARGIN = 0.2  # of the radius axis, in powers of ten


@dataclass(frozen=True)
class Curve:
    """One defense's percentages in one panel."""

    defense: str
    radii: Sequence[float]
    percent: Sequence[float]


@dataclass(frozen=True)
class Panel:
    """A panel's title, the label of its y axis where it stands leftmost, and what it shows."""

    title: str
    ylabel: str
    curves: tuple[Curve, ...]


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


def across() -> int:
    """Return how many panels stand side by side."""
    return 2 if is_narrow() else ACROSS


def dataset_panels(
    frame: pd.DataFrame, curves: Callable[[pd.DataFrame], Iterable[Curve]], ylabel: str
) -> list[Canvas]:
    """Return pages with a panel per data set, alike axes and one legend each."""
    datasets = list(dict.fromkeys(frame["dataset"]))
    titles = panel_titles([str(dataset) for dataset in datasets])
    panels = [
        Panel(title, ylabel, tuple(curves(frame[frame["dataset"] == dataset])))
        for dataset, title in zip(datasets, titles, strict=True)
    ]
    return panel_pages(in_rows(panels), set(frame["attack_grid_radius"]))


def in_rows(panels: Sequence[Panel]) -> list[Sequence[Panel]]:
    """Return panels in rows of `across()`."""
    return [panels[i : i + across()] for i in range(0, len(panels), across())]


def page_count(rows: int, together: int = 1) -> int:
    """Return how many pages so many rows take, of which `together` always share one."""
    return ceil(rows / _rows_on_a_page(together))


def _rows_on_a_page(together: int) -> int:
    most = int((PAGE - TOP - FOOT - MOST_LEGEND * LEGEND_ROW) / HEIGHT)
    return most - most % together


def panel_pages(
    rows: Sequence[Sequence[Panel]], radii: Collection[float], together: int = 1
) -> list[Canvas]:
    """Return the pages of a grid of panels, none taller than a page of paper.

    Args:
        rows: panels from left to right, rows from the top.
        radii: all that occur, for one axis of all panels.
        together: that many rows stay on one page.
    """
    step = _rows_on_a_page(together)
    positions = radius_positions(radii)
    return [_page(rows[i : i + step], positions) for i in range(0, len(rows), step)]


def _page(rows: Sequence[Sequence[Panel]], positions: Mapping[float, float]) -> Canvas:
    columns, width = max(map(len, rows)), NARROW if is_narrow() else WIDTH
    found = {curve.defense for row in rows for panel in row for curve in panel.curves}
    legend = LEGEND_ROW * ceil(len(found) / legend_columns())
    page = TOP + len(rows) * HEIGHT + FOOT + legend
    boxes = [
        [_box((i, j), columns, (width, page), positions) for j in range(len(row))]
        for i, row in enumerate(rows)
    ]
    shown = [pair for row in zip(boxes, rows, strict=True) for pair in zip(*row, strict=True)]
    with mpl.rc_context(RC | {"font.size": SIZE}):
        figure = Canvas(figsize=(width, page))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(0, page)
        for i, row in enumerate(rows):
            for j, panel in enumerate(row):
                lowest = i + 1 == len(rows) or j >= len(rows[i + 1])
                _labels(axes, boxes[i][j], panel, lowest, leftmost=j == 0)
        _frames(axes, [box for box, _ in shown])
        for defense in ordered(found):
            mine = [(b, c) for b, panel in shown for c in panel.curves if c.defense == defense]
            _draw(axes, mine, defense)
        defense_legend(figure, axes, list(found))
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


def _box(
    place: tuple[int, int],
    columns: int,
    size: tuple[float, float],
    positions: Mapping[float, float],
) -> _Box:
    """Return the box of a panel at (row, column) on a page of (width, height)."""
    (row, column), (width, page) = place, size
    step = (width - LEFT - RIGHT + GAP_X) / columns
    bottom = page - TOP - (row + 1) * HEIGHT + GAP_Y
    return _Box(LEFT + column * step, bottom, step - GAP_X, HEIGHT - GAP_Y, positions)


def _draw(axes: Axes, curves: Sequence[tuple[_Box, Curve]], defense: str) -> None:
    """Draw one defense's curves in all panels, broken between them."""
    x = _joined(box.x(box.positions[r] for r in curve.radii) for box, curve in curves)
    line(axes, x, _joined(box.y(curve.percent) for box, curve in curves), defense)


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


def _labels(axes: Axes, box: _Box, panel: Panel, lowest: bool, leftmost: bool) -> None:
    """Name a panel, and its axes where no other stands below or to its left."""
    middle, top = box.left + box.width / 2, box.bottom + box.height
    # A dollar sign in a name is one, and no mathematics.
    axes.text(
        *(middle, top + 0.04, fill(panel.title, LINE)), ha="center", va="bottom",
        fontsize=_title_size(panel.title), linespacing=1.0, parse_math=False,
    )  # fmt: skip
    if lowest:
        for place, text in power_ticks(box.positions, every=2):
            axes.text(box.x([place])[0], box.bottom - 0.06, text, ha="center", va="top")
        axes.text(middle, box.bottom - 0.22, r"grid radius $\rho$", ha="center", va="top")
    if leftmost:
        for percent in (0, 50, 100):
            y = box.y([percent])[0]
            axes.text(box.left - 0.06, y, str(percent), ha="right", va="center")
        centre = box.bottom + box.height / 2
        axes.text(0.08, centre, panel.ylabel, rotation="vertical", ha="center", va="center")
