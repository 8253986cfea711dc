"""What the figures share: panel size, type, an axis of radii that begins at zero, the legend."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.names import math_label, ordered, style

RC = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "analysis",
}


def canvas(rows: int, columns: int, width: float = 7.2, height: float = 2.3) -> Canvas:
    """Return an empty figure for a grid of panels, `height` inches each and a legend below."""
    with mpl.rc_context(RC):
        return Canvas(figsize=(width, rows * height + 0.3), layout="constrained")


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


def defense_legend(
    figure: Canvas, axes: Axes, defenses: Sequence[str], place: str = "outside lower center"
) -> None:
    """Draw one legend under all panels, in the order of the paper's tables."""
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    names = [name for name in map(math_label, ordered(set(defenses))) if name in by_label]
    columns = max(1, min(len(names), 6))
    figure.legend([by_label[name] for name in names], names, loc=place, ncols=columns)


def shared_legend(figure: Canvas, axes: Axes) -> None:
    """Draw one panel's legend under all of them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)))


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
