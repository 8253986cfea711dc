"""Critical-difference diagrams: mean ranks on a line, joined where Nemenyi's test sees nothing."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.plotting import RC, RIGHT, Layout, nothing, panel_grid
from analysis.names import NORMS, math_label, style
from analysis.posthoc import critical_difference
from analysis.ranks import rank_tests
from analysis.records import Records

WANTED = (0.01, 0.3, 3.0)  # small, medium, large: the nearest radii there are


def build(records: Records) -> pd.DataFrame:
    """Return mean average rank and Nemenyi's difference per PGD attack, radius and defense."""
    rows = [
        {
            **cell.place,
            "defense": defense,
            "mean_rank": cell.friedman.mean_ranks[i],
            "critical_difference": critical_difference(len(cell.defenses), len(cell.datasets)),
            "friedman_p": cell.friedman.p,
            "datasets": len(cell.datasets),
        }
        for cell in rank_tests(records)
        if cell.place["attack"].startswith("pgd-")
        for i, defense in enumerate(cell.defenses)
    ]
    return pd.DataFrame(rows)


def groups(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Return maximal runs (first, last) of ascending ranks that span less than `difference`."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] < difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw PGD-L2, L1, Linf down, those that were run, and three radii across."""
    radii = sorted(r for r in set(frame["attack_grid_radius"]) if r > 0) or [0.0]
    chosen = sorted({_nearest(radii, wanted) for wanted in WANTED})
    attacks = [a for a in (f"pgd-{norm}" for norm in NORMS) if a in set(frame["attack"])]
    most = int(frame.groupby(["attack", "attack_grid_radius"])["defense"].size().max())
    layout = Layout(height=1.4, gap_x=0.05, gap_y=0.4, left=RIGHT, bottom=0.05)
    with mpl.rc_context(RC):
        figure, panels = panel_grid(len(attacks), len(chosen), layout)
        for i, attack in enumerate(attacks):
            for j, radius in enumerate(chosen):
                cell = (frame["attack"] == attack) & (frame["attack_grid_radius"] == radius)
                panels[i, j].set_title(rf"{math_label(attack)}, $\rho={radius:g}$", fontsize=8)
                _panel(panels[i, j], frame[cell].sort_values("mean_rank"), most)
    return figure


def _nearest(radii: Sequence[float], wanted: float) -> float:
    return min(radii, key=lambda radius: abs(radius - wanted))


def _panel(axes: Axes, rows: pd.DataFrame, most: int) -> None:
    """Draw one diagram; all have room for `most` ranks, so that they are of one scale."""
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_xticks([])
    if rows.empty:
        nothing(axes)
        return
    ranks, k = list(rows["mean_rank"]), len(rows)
    difference = float(rows["critical_difference"].iloc[0])
    margin = 0.56 * (most - 0.6)  # for a name on either side
    axes.set_xlim(0.8 - margin, most + 0.2 + margin)
    axes.set_ylim(-1.1 - (most + 1) // 2, 1.5)
    axes.hlines(0, 1, k, color="black", linewidth=0.8)
    for tick in range(1, k + 1):
        axes.vlines(tick, 0, 0.15, color="black", linewidth=0.8)
        axes.text(tick, 0.25, str(tick), ha="center", fontsize=6)
    axes.hlines(1.15, 1, min(1 + difference, k), color="#555555", linewidth=1.2)
    axes.text(1, 1.3, f"CD {difference:.2f}, n = {rows['datasets'].iloc[0]}", fontsize=6)
    for i, (defense, rank) in enumerate(zip(rows["defense"], ranks, strict=True)):
        _name(axes, str(defense), rank, i, k)
    for level, (first, last) in enumerate(groups(ranks, difference)):
        y = -0.25 - 0.22 * level
        axes.hlines(y, ranks[first] - 0.06, ranks[last] + 0.06, color="black", linewidth=2.4)


def _name(axes: Axes, defense: str, rank: float, index: int, k: int) -> None:
    """Write a name left or right of the axis and lead a line to its rank."""
    left = index < (k + 1) // 2
    y = -1.2 - (index if left else k - 1 - index)
    edge = 0.8 if left else k + 0.2
    color = style(defense).color
    axes.plot([rank, rank, edge], [0, y, y], color=color, linewidth=0.9)
    side = "right" if left else "left"
    axes.text(edge, y, f" {math_label(defense)} ", ha=side, va="center", fontsize=6.5)


FIGURE = Figure(
    name="differences",
    title="Critical differences of mean ranks",
    caption="Mean average rank of each defense under PGD attacks across the tabular data sets, 1 "
    "is best. Thick bars join defenses that Nemenyi's test (0.05) does not tell apart; CD is its "
    "critical difference.",
    build=build,
    draw=draw,
    experiment="uci_full",
)
