"""What robustness costs: training time per network against adversarial accuracy."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.drawing import RC, Layout, legend, nothing, panel_grid, plain_numbers
from analysis.names import math_label, norm_symbol, ordered, style
from analysis.ranks import attacked_accuracies, comparisons
from analysis.records import Records
from analysis.stats import Array

PANELS = (("pgd-l2", 0.1), ("pgd-linf", 0.1), ("pgd-linf", 1.0))


def build(records: Records) -> pd.DataFrame:
    """Return per attack, radius and defense the cost of a network and its mean accuracy.

    `seconds` is the mean training time per network (a pack's time shared among its networks)
    over data sets, `accuracy` the mean selected test accuracy over the `datasets` data sets on
    which every defense has a result; `efficient` marks defenses that no other beats at no
    higher cost.
    """
    spent = pl.coalesce("train_seconds", pl.col("steps") / pl.col("train_steps_per_second"))
    names = records.tabular_datasets or records.datasets
    trials = records.trials.filter(pl.col("dataset").is_in(names) & (pl.col("family") == "mlp"))
    seconds = (
        trials.group_by("defense", "dataset")
        .agg(spent.mean().alias("seconds"))
        .group_by("defense")
        .agg(pl.col("seconds").mean())
    )
    costs = {str(defense): cost for defense, cost in seconds.drop_nulls().iter_rows() if cost > 0}
    rows = []
    for cell in comparisons(attacked_accuracies(records, names)):
        if not cell.datasets:
            continue
        scores = cell.scores.mean(axis=0)
        for defense, score in zip(cell.defenses, scores, strict=True):
            if defense in costs and not np.isnan(score):  # NaN: nothing finished somewhere
                numbers = {"seconds": costs[defense], "accuracy": float(score)}
                rows.append(
                    {**cell.place, "defense": defense, **numbers, "datasets": len(cell.datasets)}
                )
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    keys = ["attack", "attack_grid_radius"]
    frame["efficient"] = False
    for _, group in frame.groupby(keys):
        frame.loc[group.index, "efficient"] = efficient(
            group["seconds"].to_numpy(), group["accuracy"].to_numpy()
        )
    return frame.sort_values([*keys, "seconds"]).reset_index(drop=True)


def efficient(cost: Array, gain: Array) -> npt.NDArray[np.bool_]:
    """Return which points no other beats: none costs no more and gains more, or vice versa."""
    no_dearer = cost[None, :] <= cost[:, None]
    no_worse = gain[None, :] >= gain[:, None]
    better = (cost[None, :] < cost[:, None]) | (gain[None, :] > gain[:, None])
    beaten = (no_dearer & no_worse & better).any(axis=1)
    return np.logical_not(beaten)


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw cost against accuracy under three attacks, the efficient defenses joined."""
    layout = Layout(1.9, gap_x=0.45, gap_y=0, legend=frame["defense"].nunique())
    with mpl.rc_context(RC):
        figure, panels = panel_grid(1, 3, layout)
        for axes, (attack, radius) in zip(panels.flat, PANELS, strict=True):
            near = np.isclose(frame["attack_grid_radius"], radius)
            rows = frame[(frame["attack"] == attack) & near]
            norm = attack.split("-")[1]
            axes.set_title(rf"PGD-${norm_symbol(norm)}$, $\rho={radius:g}$")
            axes.set_xlabel("training seconds per network")
            if rows.empty:
                nothing(axes)
                continue
            front = rows[rows["efficient"]].sort_values("seconds")
            axes.plot(front["seconds"], 100 * front["accuracy"], color="#999999", linewidth=0.8)
            for defense in ordered(set(rows["defense"])):
                point, look = rows[rows["defense"] == defense].iloc[0], style(defense)
                axes.plot(
                    [point["seconds"]], [100 * point["accuracy"]], color=look.color,
                    marker=look.marker, markersize=6, linestyle="", label=math_label(defense),
                )  # fmt: skip
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        panels[0, 0].set_ylabel("mean accuracy, %")
        fullest = max(panels.flat, key=lambda axes: len(axes.lines))
        legend(figure, *fullest.get_legend_handles_labels())
    return figure


FIGURE = Figure(
    name="pareto",
    title="What robustness costs",
    caption="Mean adversarial accuracy across data sets against training time per network, a "
    "pack's time shared among its networks. The grey line joins the defenses that no other "
    "beats at no higher cost.",
    build=build,
    draw=draw,
)
