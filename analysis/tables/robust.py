"""What Tables 3 to 5 and the per-data-set table share: the minimum over PGD and fast gradient."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row
from analysis.names import (
    NORMS,
    dataset_title,
    label,
    math_label,
    norm_label,
    norm_symbol,
    order_key,
)
from analysis.records import REPETITION, Records
from analysis.select import mean_over_repetitions, selected

ATTACKS = {
    "l2": ("pgd-l2", "fgm-l2"),
    "l1": ("pgd-l1", "fgm-l1"),
    "linf": ("pgd-linf", "fgsm-linf"),
}
NEAR = 0.5  # points from the best within which the paper colours a cell
MOST_COLUMNS = 9


def robust_accuracy(
    records: Records, datasets: Sequence[str], keys: Sequence[str] = ()
) -> pd.DataFrame:
    """Return per data set, norm, radius and defense the minimum over the norm's attacks.

    Each attack selects for itself; the minimum is that of the two test accuracies. Where only
    one of the attacks was run, `attacks` says which.
    """
    trials = records.trials.filter(
        pl.col("dataset").is_in(datasets) & pl.col("network").str.starts_with("mlp")
    )
    attacks = [a for pair in ATTACKS.values() for a in pair]
    tested = selected(records, trials, keys).filter(
        pl.col("attack").cast(pl.String).is_in(attacks)
    )
    group = ["dataset", *keys, "attack_norm", "attack_grid_radius", "defense"]
    weakest = (
        tested.drop_nulls("accuracy")
        .group_by(*group, *REPETITION)
        .agg(
            pl.col("attack_radius", "accuracy", "num_samples").min(),
            pl.col("candidates").sum(),
            pl.col("attack").cast(pl.String).sort().str.join("+").alias("attacks"),
        )
    )
    means = mean_over_repetitions(weakest, group)
    extra = weakest.group_by(group).agg(pl.col("attack_radius", "attacks").first())
    frame = means.join(extra, on=group).with_columns(pl.col("attack_norm").cast(pl.String))
    return mark(frame.to_pandas(), [*keys, "dataset", "attack_norm", "attack_grid_radius"])


def mark(frame: pd.DataFrame, column_keys: Sequence[str]) -> pd.DataFrame:
    """Add `percent`, `best` and `near_best` (within half a point), and sort in print order.

    Both marks are decided on the unrounded accuracies; ties share the mark.
    """
    frame = frame.assign(percent=(100 * frame["accuracy"]).round(2))
    points = (100 * frame["accuracy"]).round(9)
    best = points.groupby([frame[key] for key in column_keys]).transform("max")
    frame["best"] = points == best
    frame["near_best"] = points >= (best - NEAR).round(9)
    frame["_norm"] = frame["attack_norm"].map(NORMS.index)
    frame["_order"] = frame["defense"].map(order_key)
    before = [key for key in column_keys if key not in ("attack_norm", "attack_grid_radius")]
    by = [*before, "_norm", "_order", "attack_grid_radius"]
    return frame.sort_values(by).drop(columns=["_norm", "_order"]).reset_index(drop=True)


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per data set and norm: defenses down, radii across."""
    blocks = []
    for (dataset, norm), cells in frame.groupby(["dataset", "attack_norm"], sort=False):
        blocks.append(accuracy_block(dataset_title(str(dataset)), str(norm), cells))
    return tuple(blocks)


def accuracy_block(title: str, norm: str, cells: pd.DataFrame) -> Block:
    """Return the block of one data set and norm."""
    radii = printed_radii(sorted(set(cells["attack_grid_radius"])))
    true = dict(zip(cells["attack_grid_radius"], cells["attack_radius"], strict=True))
    corner = (f"{norm_label(norm)}, ρ =", rf"${norm_symbol(norm)}$, $\rho =$")
    by_place = {(r.defense, r.attack_grid_radius): r for r in cells.itertuples()}
    rows = tuple(
        Row(label(d), math_label(d), tuple(_cell(by_place.get((d, r))) for r in radii))
        for d in dict.fromkeys(cells["defense"])
    )
    return Block(title, corner, tuple(radius_text(true[r]) for r in radii), rows)


def _cell(place: object) -> Cell:
    if place is None:
        return Cell("–")
    value, best, near = (getattr(place, name) for name in ("percent", "best", "near_best"))
    return Cell(f"{value:.2f}", bold=bool(best), marked=bool(near))


def radius_text(radius: float) -> str:
    """Return a radius as a column head: two decimals, three digits where it is small."""
    return f"{radius:.2f}" if radius >= 0.1 or radius == 0 else f"{radius:.3g}"


def printed_radii(radii: Sequence[float]) -> list[float]:
    """Return at most nine of the radii, evenly spread over their order, ends included."""
    if len(radii) <= MOST_COLUMNS:
        return list(radii)
    step = (len(radii) - 1) / (MOST_COLUMNS - 1)
    return [radii[round(i * step)] for i in range(MOST_COLUMNS)]
