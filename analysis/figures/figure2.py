"""Figure 2: average rank of each defense across the tabular data sets, per attack and radius."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.plotting import (
    RC,
    Layout,
    defense_legend,
    is_narrow,
    line,
    panel_grid,
    radius_axis,
)
from analysis.names import math_label, ordered, style
from analysis.paper import claims
from analysis.ranks import attacked_accuracies, mean_ranks
from analysis.records import Records

# Fast gradient left, projected gradient right; L2, Linf, L1 from the top.
PANELS = (
    (("fgm-l2", "l2"), ("pgd-l2", "l2")),
    (("fgsm-linf", "linf"), ("pgd-linf", "linf")),
    (("fgm-l1", "l1"), ("pgd-l1", "l1")),
)
FEWEST_FOR_BANDS = 10  # data sets, below which intervals are drawn as bars
_BALL = {"l1": r"$\rho\sqrt{D}$", "l2": r"$\rho\sqrt{D}$", "linf": r"$\rho$"}


def build(records: Records) -> pd.DataFrame:
    """Return mean rank and 95% interval per attack, grid radius and defense."""
    attacks = [attack for row in PANELS for attack, _ in row]
    ranks = mean_ranks(attacked_accuracies(records, records.tabular_datasets))
    return ranks[ranks["attack"].isin(attacks)].reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw a row of panels per norm that was run, without a column that would be empty."""
    run = set(frame["attack"])
    rows = [row for row in PANELS if run & {attack for attack, _ in row}]
    columns = [j for j in range(2) if run & {row[j][0] for row in rows}]
    return draw_rows(frame, [[row[j] for j in columns] for row in rows])


def draw_rows(frame: pd.DataFrame, shown: Sequence[Sequence[tuple[str, str]]]) -> Canvas:
    """Draw a panel per attack, at most two in a row, each with its norm."""
    most = max(2, frame["defense"].nunique())
    layout = Layout(height=1.65, gap_x=0.15, gap_y=0.76, legend=most, left=0.42, bottom=0.54)
    with mpl.rc_context(RC):
        figure, panels = panel_grid(len(shown), 2, layout, sharex="row", sharey=True, first=1)
        for i, row in enumerate(shown):
            for j, axes in enumerate(panels[i]):
                rows = frame[frame["attack"] == row[j][0]] if j < len(row) else frame.head(0)
                if rows.empty:
                    axes.set_visible(False)
                else:
                    _panel(axes, rows, "abcdefghijklmnop"[2 * i + j], *row[j])
                if j == 0 or is_narrow():
                    axes.set_ylabel("average rank")
        panels[0, 0].set_ylim(most + 0.3, 0.7)
        panels[0, 0].set_yticks(range(1, most + 1))
        fullest = max(panels.flat, key=lambda axes: len(axes.lines))
        defense_legend(figure, fullest, list(frame["defense"]))
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, letter: str, attack: str, norm: str) -> None:
    counts = sorted(set(frame["datasets"]))
    number = f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
    axes.set_title(f"({letter}) {math_label(attack)}, {number} data sets")
    axes.set_xlabel(rf"grid radius $\rho$ (ball {_BALL[norm]})")
    positions = radius_axis(axes, list(frame["attack_grid_radius"]))
    few = counts[0] < FEWEST_FOR_BANDS
    names = ordered(set(frame["defense"]))
    for index, defense in enumerate(names):
        rows = frame[frame["defense"] == defense].sort_values("attack_grid_radius")
        # Bars of neighbours stand side by side; bands lie on top of one another.
        shift = 0.03 * (index - (len(names) - 1) / 2) if few else 0.0
        x = [positions[r] + shift for r in rows["attack_grid_radius"]]
        line(axes, x, list(rows["mean_rank"]), defense)
        low, high = rows["ci_low"].clip(lower=1), rows["ci_high"].clip(upper=len(names))
        color = style(defense).color
        if few:
            axes.vlines(x, low, high, color=color, linewidth=0.8, alpha=0.6)
        else:
            # The outline stays in sight where bands lie on top of one another.
            axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)
            for edge in (low, high):
                axes.plot(x, edge, color=color, linewidth=0.4, alpha=0.7)


FIGURE = Figure(
    name="figure2",
    title="Figure 2: average rank across data sets",
    caption="Average dense rank by test accuracy (1 is best) and its 95% confidence interval "
    "across the tabular data sets on which every defense shown was run. A defense is last where "
    "none of its networks finished, and is left out if run on less than half of the sets. Fast "
    "gradient attacks left, projected gradient right; L2, L∞ and L1 from the top.",
    build=build,
    draw=draw,
    narrow=True,
    agree=claims.ranks,
    paper=True,
)
