"""What every accuracy table shares: from selected results to marked cells, and their print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row
from analysis.measurements import MOST_NAMED
from analysis.names import NORMS, label, math_label, norm_label, norm_symbol, ordered
from analysis.records import Records
from analysis.select import mean_over_repetitions, paired
from analysis.statistics import binomial_interval

NEAR = 0.5  # points from the best within which the paper colours a cell
POINT_DIGITS = 4  # of percent points, within which accuracies are equal: `recordings.SAME`
MOST_COLUMNS = 9
RADIUS = "attack_grid_radius"
SETTINGS = ("network", "grid_radius", "learning_rate", "batch_size", "scaling")
MISSING = "–"

Place = Mapping[str, Any]  # one row of a tidy frame
CellOf = Callable[[Place], Cell]


def handed(rows: pl.DataFrame, *order: str) -> pd.DataFrame:
    """Return rows as a person gets them: sorted by columns, norms and defenses as in print."""
    defenses = {name: i for i, name in enumerate(ordered(set(rows["defense"])))}
    ranks = {
        "defense": pl.col("defense").replace_strict(defenses, return_dtype=pl.Int64),
        "attack_norm": pl.col("attack_norm").cast(pl.Enum(NORMS)),
    }
    return rows.sort([ranks.get(name, pl.col(name)) for name in order]).to_pandas()


def places(frame: pd.DataFrame) -> Sequence[Place]:
    """Return a frame's rows as mappings; what is missing is None."""
    return pl.from_pandas(frame).to_dicts()


def grouped(frame: pd.DataFrame, *keys: str) -> dict[tuple[str, ...], list[Place]]:
    """Return a frame's rows by the values of some columns, in order of appearance."""
    groups: dict[tuple[str, ...], list[Place]] = {}
    for place in places(frame):
        groups.setdefault(tuple(str(place[key]) for key in keys), []).append(place)
    return groups


def summarise(
    tested: pl.DataFrame,
    records: Records,
    family: str,
    columns: Sequence[str],
    more: Sequence[str] = (),
) -> pd.DataFrame:
    """Return one marked row per table cell, in print order.

    The defenses of a cell are averaged over the repetitions that they share.

    Args:
        tested: rows with `dataset, defense, *columns, seed, split_seed, trial, accuracy, tied,
            tied_low, tied_high, candidates, num_samples, attack_radius`, one per cell and
            repetition.
        records: where the trials' settings are looked up.
        family: `mlp` or `cnn`, for the count of diverged trials.
        columns: what makes a column of the table within a data set; marks are per column.
        more: further columns of `tested`, alike for the repetitions of a cell.

    Returns:
        `dataset, *columns, attack_radius, defense, percent, accuracy, low, high` (95% binomial),
        `deviation, repetitions, num_samples, candidates, tied, tied_low, tied_high, diverged`,
        the settings and id of the first chosen trial (of the first repetition), `trial_ids` (the
        first `MOST_NAMED` of those chosen, with spaces between), `best, near_best`, and `more`.
    """
    keys = ["dataset", *columns, "defense"]
    tested = paired(tested.drop_nulls("accuracy"), ["dataset", *columns])
    means = mean_over_repetitions(tested, keys)
    first = (
        tested.sort("seed", "split_seed")
        .group_by(keys)
        .agg(pl.col("attack_radius", "trial", *more).first())
    )
    settings = records.trials.select("trial", "trial_id", *SETTINGS)
    diverged = (
        records.trials.filter(pl.col("family") == family)
        .group_by("dataset", "defense")
        .agg((pl.col("status") == "diverged").sum().alias("diverged"))
    )
    frame = (
        means.join(first, on=keys)
        .join(named_trials(tested, keys, records), on=keys)
        .join(settings, on="trial")
        .join(diverged, on=["dataset", "defense"])
        .drop("trial")
    )
    low, high = binomial_interval(frame["accuracy"].to_numpy(), frame["num_samples"].to_numpy())
    percent = (100 * pl.col("accuracy")).round(2)
    frame = frame.with_columns(percent=percent, low=pl.Series(low), high=pl.Series(high))
    outer = [key for key in ("dataset", *columns) if key not in ("attack_norm", RADIUS)]
    marked = _marked(frame, ["dataset", *columns]).select(_column_order(frame, more))
    return handed(marked, *outer, "attack_norm", "defense", RADIUS)


def named_trials(tested: pl.DataFrame, keys: Sequence[str], records: Records) -> pl.DataFrame:
    """Return `*keys, trial_ids`: the first `MOST_NAMED` trials chosen at a place, as one text."""
    rows = tested.sort("seed", "split_seed")
    if "ties" in tested.columns:
        rows = rows.drop("trial").rename({"ties": "trial"}).explode("trial")
    names = records.trials.select("trial", "trial_id")
    ids = pl.col("trial_id").unique(maintain_order=True).head(MOST_NAMED)
    return (
        rows.select(*keys, "trial")
        .join(names, on="trial", maintain_order="left")
        .group_by(keys)
        .agg(ids.alias("trial_ids"))
        .with_columns(pl.col("trial_ids").list.join(" "))
    )


def _marked(frame: pl.DataFrame, column: Sequence[str]) -> pl.DataFrame:
    """Add `best` and `near_best` (within half a point of it), decided on unrounded accuracies."""
    points = (100 * pl.col("accuracy")).round(POINT_DIGITS)
    best = points.max().over(column)
    near = points >= (best - NEAR).round(POINT_DIGITS)
    return frame.with_columns(best=points == best, near_best=near)


def _column_order(frame: pl.DataFrame, last: Sequence[str]) -> list[str]:
    front = ["dataset", "attack", "attack_norm", RADIUS, "attack_radius", "defense"]
    front = [c for c in front if c in frame.columns]
    front += ["percent", "best", "near_best", "accuracy", "low", "high"]
    return [*front, *(c for c in frame.columns if c not in (*front, *last)), *last]


def accuracy_block(
    cells: Sequence[Place], title: str, norm: str, cell: CellOf, ball: bool = False
) -> Block:
    """Return the block of one data set and norm: defenses down, radii across.

    Heads are grid radii ρ, at most nine of them; with `ball` the radii r of the ball itself.
    """
    true = {p[RADIUS]: p["attack_radius"] for p in cells}
    radii = thin(sorted(true))
    heads = [radius_text(true[r]) if ball else f"{r:g}" for r in radii]
    found = {(p["defense"], p[RADIUS]): p for p in cells}
    rows = tuple(
        row_of(defense, [found.get((defense, radius)) for radius in radii], cell)
        for defense in ordered({p["defense"] for p in cells})
    )
    return Block(
        title, corner(norm, *(("r", "r") if ball else ("ρ", r"\rho"))), tuple(heads), rows
    )


def corner(norm: str, text: str, symbol: str) -> tuple[str, str]:
    """Return the head of the labels' column: the norm, and what the other heads are."""
    return f"{norm_label(norm)}, {text} =", rf"${norm_symbol(norm)}$, ${symbol} =$"


def row_of(defense: str, row: Sequence[Place | None], cell: CellOf) -> Row:
    """Return the row of one defense; a dash where there is no place."""
    shown = tuple(Cell(MISSING) if place is None else cell(place) for place in row)
    return Row(label(defense), math_label(defense), shown)


def percent_cell(place: Place) -> Cell:
    """Return a cell with its percentage, its deviation where there are repetitions, and marks."""
    text = f"{place['percent']:.2f}"
    if place["repetitions"] > 1:
        text += f" ± {100 * place['deviation']:.1f}"
    ends = (round(100 * place[name], 1) for name in ("low", "high"))
    return Cell(
        text,
        bold=bool(place["best"]),
        marked=bool(place["near_best"]),
        trials=tuple(place["trial_ids"].split()),
        numbers=(place["num_samples"], *ends, place["tied"]),
    )


def behind_cell(place: Place) -> Cell:
    """Return a cell with a value's 95% interval, the trials behind it and the settings chosen.

    Where several trials tie on validation, also how many and the range of their accuracies, of
    which the settings are the first's; and the repetitions where there are several.
    """
    span = f"{100 * place['low']:.1f}–{100 * place['high']:.1f}"
    times = f"; {place['repetitions']} repetitions" if place["repetitions"] > 1 else ""
    if place["tied"] > place["repetitions"]:
        times += f"; first of {place['tied']} tied"
        times += f" ({100 * place['tied_low']:.1f}–{100 * place['tied_high']:.1f})"
    trials = f"{place['candidates']}" + (f"+{place['diverged']}†" if place["diverged"] else "")
    radius, rate = f"ρ {place['grid_radius']:g}", f"rate {place['learning_rate']:g}"
    settings = f"{radius}, {rate}, {place['batch_size']}, {place['scaling']}"
    return Cell(f"{span}; {trials}{times}; {settings}")


def thin(radii: Sequence[float]) -> list[float]:
    """Return at most nine of the radii, evenly spread over their order, both ends included."""
    if len(radii) <= MOST_COLUMNS:
        return list(radii)
    step = (len(radii) - 1) / (MOST_COLUMNS - 1)
    return [radii[round(i * step)] for i in range(MOST_COLUMNS)]


def radius_text(radius: float) -> str:
    """Return a radius as a column head: two decimals, three digits where it is small."""
    return f"{radius:.2f}" if radius >= 0.1 or radius == 0 else f"{radius:.3g}"
