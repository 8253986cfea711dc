"""What the figures share: panel size, type, an axis of radii that begins at zero, the legend."""

from __future__ import annotations

from collections.abc import Sequence

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
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "analysis",
}


def canvas(rows: int, columns: int, width: float = 7.2, height: float = 2.3) -> Canvas:
    """Return an empty figure for a grid of panels, `height` inches each."""
    with mpl.rc_context(RC):
        return Canvas(figsize=(width, rows * height), layout="constrained")


def radius_positions(radii: Sequence[float]) -> dict[float, float]:
    """Return where each radius lies on an axis of log10, zero standing left of the smallest."""
    positive = sorted({float(r) for r in radii if r > 0})
    positions = {r: float(np.log10(r)) for r in positive}
    positions[0.0] = min(positions.values(), default=1.0) - 1.0
    return positions


def radius_axis(axes: Axes, radii: Sequence[float]) -> dict[float, float]:
    """Label the x axis with powers of ten and a broken-off zero; return the positions."""
    positions = radius_positions(radii)
    values = sorted(set(radii))
    powers = [p for p in range(-6, 4) if positions[0.0] + 0.4 < p <= max(positions.values())]
    ticks = [float(p) for p in powers]
    labels = [f"$10^{{{p}}}$" for p in powers]
    if 0.0 in values:
        ticks, labels = [positions[0.0], *ticks], ["0", *labels]
        axes.axvline(positions[0.0] + 0.5, color="#999999", linewidth=0.6, linestyle=(0, (2, 2)))
    axes.set_xticks(ticks, labels)
    return positions


def defense_legend(figure: Canvas, axes: Axes, defenses: Sequence[str]) -> None:
    """Draw one legend under all panels, in the order of the paper's tables."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    names = [math_label(d) for d in ordered(set(defenses)) if math_label(d) in handles]
    figure.legend(
        [handles[n] for n in names], names, loc="outside lower center", ncols=min(len(names), 6)
    )


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
