"""The network that validation data select for one data set, norm and radius, over all defenses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from analysis.certificates import IS_CERTIFICATE
from analysis.records import IS_WEIGHTED, Records

_RADIUS_DIGITS = 6  # as records are read


@dataclass(frozen=True)
class Best:
    """The choice.

    Attributes:
        trial: the columns of the chosen trial.
        validation: its accuracy on validation data, by the measure that chose.
        candidates: the trials chosen among.
        tied: those with the same accuracy; the first of all tables' order is taken.
        test: its rows on test data, `attack, attack_grid_radius, attack_radius, accuracy,
            num_samples`: clean first, then attacks and certificates at the radius.
    """

    trial: Mapping[str, Any]
    validation: float
    candidates: int
    tied: int
    test: pl.DataFrame


def choose(
    records: Records, dataset: str, norm: str, radius: float, measure: str, defense: str = ""
) -> Best:
    """Return the trial with the highest accuracy on validation data, by a measure.

    Of a trial's several attacks in the norm at the radius the lowest accuracy counts, of its
    several certificates the highest. Balls with costs are others, and choose nothing.

    Raises:
        ValueError: nothing of that data set and defense finished, or was measured at the radius.
    """
    trials = records.trials.filter(pl.col("dataset") == dataset)
    if defense:
        trials = trials.filter(pl.col("defense") == defense)
    if trials.filter(pl.col("status") == "complete").is_empty():
        raise ValueError(f"dataset={dataset}: no network {defense or 'of any defense'} finished")
    measured = _measured(records, norm, measure, trials)
    radii = sorted(measured["attack_grid_radius"].unique())
    near = [r for r in radii if r == _rounded(radius)]
    if not near:
        known = ", ".join(f"{r:g}" for r in radii) or "none"
        raise ValueError(f"radius={radius:g}: not measured in {norm} ({measure}); known: {known}")
    cells = measured.filter(pl.col("attack_grid_radius") == near[0])
    worst = pl.col("accuracy").min() if measure == "attacked" else pl.col("accuracy").max()
    complete = trials.filter(pl.col("status") == "complete").select("trial")
    scores = (
        records.validation.join(cells.select("cell").unique(), on="cell")
        .join(complete, on="trial", how="semi")
        .drop_nulls("accuracy")
        .group_by("trial")
        .agg(worst, pl.len().alias("rows"))
    )
    scores = scores.filter(pl.col("rows") == pl.col("rows").max())  # under all of the attacks
    highest = scores["accuracy"].max()
    ties = scores.filter(pl.col("accuracy") == highest)
    first = ties["trial"].min()
    (trial,) = trials.filter(pl.col("trial") == first).to_dicts()
    test = _test_rows(records, trial["trial"], norm, near[0])
    return Best(trial, float(str(highest)), scores.height, ties.height, test)


def _rounded(radius: float) -> float:
    return float(f"{radius:.{_RADIUS_DIGITS}g}")


def _measured(records: Records, norm: str, measure: str, trials: pl.DataFrame) -> pl.DataFrame:
    """The cells of a norm's plain balls and a measure in which some of the trials have a row."""
    wanted = IS_CERTIFICATE if measure == "certified" else ~IS_CERTIFICATE
    cells = records.cells.filter((pl.col("attack_norm") == norm) & wanted & ~IS_WEIGHTED)
    own = records.validation.join(trials.select("trial"), on="trial", how="semi")
    return cells.join(own.select("cell").unique(), on="cell", how="semi")


def _test_rows(records: Records, trial: int, norm: str, radius: float) -> pl.DataFrame:
    """The trial's rows on test data: clean, then those of the norm at the radius."""
    rows = records.test.filter(pl.col("trial") == trial).join(records.cells, on="cell")
    rows = rows.drop_nulls("accuracy").sort("attack")
    clean = rows.filter(pl.col("attack_grid_radius") == 0).head(1)
    clean = clean.with_columns(attack=pl.lit("clean"))
    at = (pl.col("attack_norm") == norm) & (pl.col("attack_grid_radius") == radius)
    there = rows.filter(at & (pl.col("attack_grid_radius") > 0))
    columns = ["attack", "attack_grid_radius", "attack_radius", "accuracy", "num_samples"]
    return pl.concat([clean.select(columns), there.select(columns)])
