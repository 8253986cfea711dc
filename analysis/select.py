"""Selection of hyperparameters, once, for all tables: choose on validation, report on test.

For each data set, defense, attack and radius the chosen trial is the one with the highest
validation accuracy under that attack and radius; ties go to the smaller grid radius, then the
smaller learning rate, then the trial id (trials are numbered in that order). Trials that differ
in seed or split seed alone are repetitions: each repetition chooses for itself.

`choose` is given validation rows only and its result is fixed before any test row is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from analysis.records import REPETITION, Records

CELL = ("attack", "attack_norm", "attack_grid_radius", "attack_radius")


@dataclass(frozen=True)
class Choices:
    """The chosen trial of every cell: `keys, CELL, trial, validation_accuracy, candidates`."""

    frame: pl.DataFrame
    keys: tuple[str, ...]


def choose(validation: pl.DataFrame, trials: pl.DataFrame, keys: Sequence[str] = ()) -> Choices:
    """Return the chosen trial of every data set x defense x repetition x attack x radius.

    Args:
        validation: rows `trial, CELL, accuracy` measured on validation data.
        trials: the trials to choose among, numbered in tie order; only complete ones compete.
        keys: further trial columns to choose within, such as `scaling`.
    """
    keys = ("dataset", "defense", *REPETITION, *keys)
    arms = trials.filter(pl.col("status") == "complete").select(
        "trial", pl.struct(*keys).rank("dense").alias("arm")
    )
    cell = ("arm", "attack", "attack_grid_radius")
    rows = (
        validation.lazy()
        .select("trial", *CELL, "accuracy")
        .drop_nulls("accuracy")
        .join(arms.lazy(), on="trial")
    )
    best = rows.group_by(cell).agg(
        pl.col("accuracy").max().alias("validation_accuracy"), pl.len().alias("candidates")
    )
    chosen = (
        rows.join(best, on=cell)
        .filter(pl.col("accuracy") == pl.col("validation_accuracy"))
        .group_by(cell)
        .agg(
            pl.col("trial").min(),
            pl.col("attack_norm", "attack_radius", "validation_accuracy", "candidates").first(),
        )
        .join(trials.lazy().select("trial", *keys), on="trial")
        .select(*keys, *CELL, "trial", "validation_accuracy", "candidates")
        .collect()
    )
    return Choices(chosen, keys)


def outcome(choices: Choices, test: pl.DataFrame) -> pl.DataFrame:
    """Return the choices with the test `accuracy` and `num_samples` of each chosen trial.

    Where the chosen trial has no test record the accuracy is null: the cell is missing.
    """
    measured = test.select("trial", "attack", "attack_grid_radius", "accuracy", "num_samples")
    return choices.frame.join(measured, on=["trial", "attack", "attack_grid_radius"], how="left")


def selected(
    records: Records, trials: pl.DataFrame | None = None, keys: Sequence[str] = ()
) -> pl.DataFrame:
    """Choose among `trials` (default: all) on validation and report the test accuracy."""
    trials = records.trials if trials is None else trials
    return outcome(choose(records.validation, trials, keys), records.test)


def mean_over_repetitions(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return mean and standard deviation of test accuracy over seeds and splits.

    `accuracy` is the mean over the repetitions that have one, `deviation` their standard
    deviation (null for one), `repetitions` their number, `num_samples` that of one test set.
    """
    return (
        frame.drop_nulls("accuracy")
        .group_by(*keys)
        .agg(
            pl.col("accuracy").mean().round(12),
            pl.col("accuracy").std().alias("deviation"),
            pl.len().alias("repetitions"),
            pl.col("num_samples").min(),
            pl.col("candidates").sum(),
        )
        .sort(*keys)
    )
