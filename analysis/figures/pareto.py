"""What robustness costs: training time per network against adversarial accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.plotting import RC, Layout, legend, nothing, panel_grid, plain_numbers
from analysis.names import math_label, norm_symbol, ordered, style
from analysis.ranks import attacked_accuracies, comparisons
from analysis.records import Records
from analysis.statistics import Array

PANELS = (("pgd-l2", 0.1), ("pgd-linf", 0.1), ("pgd-linf", 1.0))


@dataclass(frozen=True)
class Cost:
    """What a network of one defense costs to train.

    Attributes:
        seconds: per network, a pack's time shared among its networks; the mean over data sets.
        pack_size: of the packs that were timed: a network costs less in a larger pack.
        compared: whether it was timed in packs of the common size, on the common data sets.
    """

    seconds: float
    pack_size: int
    compared: bool


def build(records: Records) -> pd.DataFrame:
    """Return per attack, radius and defense the cost of a network and its mean accuracy.

    `seconds, pack_size, compared` are those of `Cost`, `accuracy` is the mean selected test
    accuracy over the `datasets` data sets on which every defense has a result; `efficient` marks
    defenses that no other beats at no higher cost, among those `compared`.
    """
    names = records.tabular_datasets or records.datasets
    costs = training_costs(records, names)
    rows = []
    for cell in comparisons(attacked_accuracies(records, names)):
        if not cell.datasets:
            continue
        # Means of equal accuracies are equal but for rounding.
        scores = cell.scores.mean(axis=0).round(12)
        for defense, score in zip(cell.defenses, scores, strict=True):
            if defense in costs and not np.isnan(score):  # NaN: nothing finished somewhere
                numbers = {**vars(costs[defense]), "accuracy": float(score)}
                rows.append(
                    {**cell.place, "defense": defense, **numbers, "datasets": len(cell.datasets)}
                )
    frame = pd.DataFrame(rows)
    if frame.empty:
        return frame
    keys = ["attack", "attack_grid_radius"]
    frame["efficient"] = False
    for _, group in frame[frame["compared"]].groupby(keys):
        frame.loc[group.index, "efficient"] = efficient(
            group["seconds"].to_numpy(), group["accuracy"].to_numpy()
        )
    return frame.sort_values([*keys, "seconds"]).reset_index(drop=True)


def training_costs(records: Records, datasets: Sequence[str]) -> dict[str, Cost]:
    """Return what a network of each defense costs, by the packs that most defenses share.

    Compared are packs of one size, on the data sets where every defense that has such packs has
    them. The size is that of most defenses, then of most data sets, then the larger. Other
    defenses have the cost of their own most usual size, and are not compared.
    """
    spent = pl.coalesce("train_seconds", pl.col("steps") / pl.col("train_steps_per_second"))
    timed = (
        records.trials.filter(pl.col("dataset").is_in(datasets) & (pl.col("family") == "mlp"))
        .with_columns(seconds=spent)
        .filter(pl.col("seconds").is_finite() & (pl.col("seconds") > 0))
        .group_by("pack_size", "defense", "dataset")
        .agg(pl.col("seconds").mean())
        .sort("pack_size", "defense", "dataset")
    )
    shared = max((_shared(group) for _, group in timed.group_by("pack_size")), key=_breadth,
                 default=timed)  # fmt: skip
    costs = _mean_costs(shared, compared=True)
    rest = timed.filter(~pl.col("defense").is_in(list(costs)))
    for _, group in rest.group_by("defense"):
        costs |= _mean_costs(max((g for _, g in group.group_by("pack_size")), key=_breadth), False)
    return costs


def _shared(timed: pl.DataFrame) -> pl.DataFrame:
    """Return the times of one size of packs on the data sets that all its defenses have."""
    everyone = timed["defense"].n_unique()
    return timed.filter(pl.col("defense").n_unique().over("dataset") == everyone)


def _breadth(timed: pl.DataFrame) -> tuple[int, int, int]:
    """Return by what one size of packs is preferred: defenses, data sets, the size."""
    if timed.is_empty():
        return (0, 0, 0)
    return timed["defense"].n_unique(), timed["dataset"].n_unique(), timed["pack_size"][0]


def _mean_costs(timed: pl.DataFrame, compared: bool) -> dict[str, Cost]:
    means = timed.group_by("defense").agg(pl.col("seconds").mean(), pl.col("pack_size").first())
    return {str(name): Cost(seconds, size, compared) for name, seconds, size in means.iter_rows()}


def efficient(cost: Array, gain: Array) -> npt.NDArray[np.bool_]:
    """Return which points no other beats: none costs no more and gains more, or vice versa.

    Points whose cost or gain is unknown (NaN) are none of them.
    """
    no_dearer = cost[None, :] <= cost[:, None]
    no_worse = gain[None, :] >= gain[:, None]
    better = (cost[None, :] < cost[:, None]) | (gain[None, :] > gain[:, None])
    beaten = (no_dearer & no_worse & better).any(axis=1)
    return np.logical_not(beaten) & np.isfinite(cost) & np.isfinite(gain)


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw cost against accuracy under three attacks, the efficient defenses joined."""
    layout = Layout(1.9, gap_x=0.45, gap_y=0, legend=frame["defense"].nunique())
    shown = [place for place in PANELS if not _rows_of(frame, *place).empty] or PANELS[:1]
    with mpl.rc_context(RC):
        figure, panels = panel_grid(1, len(shown), layout, sharex="row")
        for axes, (attack, radius) in zip(panels.flat, shown, strict=True):
            rows = _rows_of(frame, attack, radius)
            norm = attack.split("-")[1]
            axes.set_title(rf"PGD-${norm_symbol(norm)}$, $\rho={radius:g}$")
            sizes = [_size(size) for size in rows.loc[rows["compared"], "pack_size"].unique()]
            axes.set_xlabel(", ".join(["seconds per network", *sizes]))
            if rows.empty:
                nothing(axes)
                continue
            front = rows[rows["efficient"]].sort_values("seconds")
            axes.plot(front["seconds"], 100 * front["accuracy"], color="#999999", linewidth=0.8)
            for defense in ordered(set(rows["defense"])):
                point, look = rows[rows["defense"] == defense].iloc[0], style(defense)
                axes.plot(
                    [point["seconds"]], [100 * point["accuracy"]], color=look.color,
                    marker=look.marker, markersize=6, linestyle="", label=_name(point),
                    fillstyle="full" if point["compared"] else "none",
                )  # fmt: skip
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        panels[0, 0].set_ylabel("mean accuracy, %")
        fullest = max(panels.flat, key=lambda axes: len(axes.lines))
        legend(figure, *fullest.get_legend_handles_labels())
    return figure


def _rows_of(frame: pd.DataFrame, attack: str, radius: float) -> pd.DataFrame:
    near = np.isclose(frame["attack_grid_radius"], radius)
    return frame[(frame["attack"] == attack) & near]


def _name(point: pd.Series) -> str:
    """Return a defense's name in the legend, with the size of its packs if it is another."""
    name = math_label(point["defense"])
    return name if point["compared"] else f"{name} ({_size(point['pack_size'])})"


def _size(pack_size: int) -> str:
    return "alone" if pack_size == 1 else f"packs of {pack_size}"


FIGURE = Figure(
    name="pareto",
    title="What robustness costs",
    caption="Mean adversarial accuracy across data sets against training time per network, a "
    "pack's time shared among its networks. Only packs of one size are compared: a defense that "
    "was trained in others has their size beside its name. The grey line joins the compared "
    "defenses that no other beats at no higher cost.",
    build=build,
    draw=draw,
)
