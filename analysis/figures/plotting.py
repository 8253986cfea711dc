"""What the figures share: panels and margins, type, an axis of radii from zero, the legend.

Margins are given in inches: an engine that measures what is drawn, such as matplotlib's
constrained layout, takes as long as drawing it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from analysis.names import math_label, ordered, style

RC = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # else every title is moved clear of what was measured below it
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType: journals refuse Type 3
    "ps.fonttype": 42,
    "svg.hashsalt": "analysis",
}


class Canvas(Figure):
    """A figure that is saved as it was drawn: kinds of fonts are looked up when a file is made."""

    def savefig(self, *args: Any, **options: Any) -> None:
        """Save under `RC`; arguments are those of matplotlib's figure."""
        with mpl.rc_context(RC):
            super().savefig(*args, **options)


_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


@contextmanager
def narrow() -> Iterator[None]:
    """Draw in the form for narrow screens: one panel under another."""
    token = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(token)


def is_narrow() -> bool:
    """Return whether panels stand one under another."""
    return _narrow.get()


# Inches: around all panels, and of a row of the legend.
LEFT, RIGHT, TOP, BOTTOM = 0.55, 0.12, 0.34, 0.5
LEGEND_ROW, ACROSS = 0.2, 6
NARROW = 3.6  # wide, for narrow screens
Share = bool | Literal["none", "all", "row", "col"]


@dataclass(frozen=True)
class Layout:
    """A figure and its panels' sizes, in inches.

    Attributes:
        height: of a panel.
        gap_x, gap_y: between panels, where their marks, labels and titles stand.
        legend: names in the legend below.
    """

    height: float
    gap_x: float
    gap_y: float
    legend: int = 0
    left: float = LEFT
    bottom: float = BOTTOM
    width: float = 7.2


def panel_grid(
    rows: int,
    columns: int,
    layout: Layout,
    sharex: Share = False,
    sharey: Share = False,
    first: int = 0,
) -> tuple[Canvas, npt.NDArray[Any]]:
    """Return a figure and its panels, (rows, columns).

    On narrow screens the panels of a row stand one under another, that of column `first` on top.
    """
    if is_narrow():
        layout = replace(layout, width=NARROW, gap_y=layout.gap_y + 0.1)
        order = sorted(range(columns), key=lambda column: column != first)
        figure, stacked = _grid(rows * columns, 1, layout, sharex and "all", sharey and "all")
        places = [row * columns + order.index(column)
                  for row in range(rows) for column in range(columns)]  # fmt: skip
        return figure, stacked[places, 0].reshape(rows, columns)
    return _grid(rows, columns, layout, sharex, sharey)


def _grid(
    rows: int, columns: int, layout: Layout, sharex: Share, sharey: Share
) -> tuple[Canvas, npt.NDArray[Any]]:
    below = layout.bottom + LEGEND_ROW * ceil(layout.legend / legend_columns())
    page = TOP + rows * layout.height + (rows - 1) * layout.gap_y + below
    wide = (layout.width - layout.left - RIGHT - (columns - 1) * layout.gap_x) / columns
    figure = Canvas(figsize=(layout.width, page))
    places = {
        "left": layout.left / layout.width,
        "right": 1 - RIGHT / layout.width,
        "top": 1 - TOP / page,
        "bottom": below / page,
        "wspace": layout.gap_x / wide,
        "hspace": layout.gap_y / layout.height,
    }
    panels = figure.subplots(
        rows, columns, sharex=sharex, sharey=sharey, squeeze=False, gridspec_kw=places
    )
    return figure, panels


def legend_columns() -> int:
    """Return how many names stand side by side in a legend."""
    return 3 if is_narrow() else ACROSS


def radius_positions(radii: Collection[float]) -> dict[float, float]:
    """Return where each radius lies on an axis of log10, zero standing left of the smallest."""
    positions = {float(r): float(np.log10(r)) for r in sorted(set(radii)) if r > 0}
    if 0.0 in radii or not positions:
        positions[0.0] = min(positions.values(), default=1.0) - 1.0
    return positions


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")  # drawn faster than mathematics


def power_ticks(positions: Mapping[float, float], every: int = 1) -> list[tuple[float, str]]:
    """Return where powers of ten stand on an axis of radii, and zero if it is one, and their text.

    `every` keeps one power in so many, for narrow panels.
    """
    clear = min(positions.values()) + 0.4 * every  # of zero's own label
    if 0.0 not in positions:
        clear = min(positions.values()) - 0.1
    powers = [p for p in range(-6, 4) if clear < p <= max(positions.values()) and p % every == 0]
    zero = [(positions[0.0], "0")] if 0.0 in positions else []
    return zero + [(float(p), "10" + str(p).translate(_RAISED) if p else "1") for p in powers]


def radius_axis(axes: Axes, radii: Sequence[float]) -> dict[float, float]:
    """Label the x axis with powers of ten and a broken-off zero; return the positions."""
    positions = radius_positions(radii)
    if 0.0 in positions:
        axes.axvline(positions[0.0] + 0.5, color="#999999", linewidth=0.6, linestyle=(0, (2, 2)))
    ticks = power_ticks(positions)
    axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    return positions


def plain_numbers(axis: Axis) -> None:
    """Mark a logarithmic axis with plain numbers: easier read than powers, and faster drawn."""
    low, high = axis.get_view_interval()
    if high < 10 * low:  # one power of ten or none
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def defense_legend(figure: Canvas, axes: Axes, defenses: Sequence[str]) -> None:
    """Draw one legend under all panels, in the order of the paper's tables."""
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    names = [name for name in map(math_label, ordered(set(defenses))) if name in by_label]
    legend(figure, [by_label[name] for name in names], names)


def legend(figure: Canvas, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Draw a legend at the foot of the figure."""
    columns = max(1, min(len(labels), legend_columns()))
    figure.legend(handles, labels, loc="lower center", ncols=columns, borderpad=0.2)


def nothing(axes: Axes) -> None:
    """Say in an empty panel that the records hold nothing for it."""
    axes.text(0.5, 0.5, "no records", transform=axes.transAxes, ha="center", color="#666666")


def line(axes: Axes, x: Sequence[float], y: Sequence[float], defense: str) -> None:
    """Draw one defense's line in its colour, marker and dash."""
    look = style(defense)
    axes.plot(
        x,
        y,
        color=look.color,
        marker=look.marker,
        linestyle=look.dash,
        label=math_label(defense),
        markeredgecolor="white" if look.marker not in "x+" else look.color,
        markeredgewidth=0.5,
    )
