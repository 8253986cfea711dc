"""Selection of hyperparameters, once, for all tables: choose on validation, report on test.

For each data set, defense, attack and radius the chosen trial is the one with the highest
validation accuracy under that attack and radius; ties go to the smaller grid radius, then the
smaller learning rate, then the trial id (trials are numbered in that order). Trials that differ
in seed or split seed alone are repetitions: each repetition chooses for itself.

`choose` is given validation rows only and its result is fixed before any test row is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.records import REPETITION, Records

CELL = ("attack", "attack_norm", "attack_grid_radius")


def choose(validation: pl.DataFrame, trials: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return the chosen trial of every arm and cell.

    Args:
        validation: rows `trial, cell, accuracy` measured on validation data.
        trials: the trials to choose among, numbered in tie order; only complete ones compete.
        keys: the trial columns that make an arm: one trial of each arm is chosen per cell.

    Returns:
        Rows `keys, cell, trial, validation_accuracy, candidates`, the last being the number of
        trials that competed.
    """
    arms = trials.filter(pl.col("status") == "complete").select(
        "trial", pl.struct(keys).rank("dense").cast(pl.UInt32).alias("arm")
    )
    rows = (
        validation.lazy()
        .select("trial", "cell", "accuracy")
        .drop_nulls("accuracy")
        .join(arms.lazy(), on="trial")
    )
    best = rows.group_by("arm", "cell").agg(
        pl.col("accuracy").max().alias("validation_accuracy"), pl.len().alias("candidates")
    )
    return (
        rows.join(best, on=["arm", "cell"])
        .filter(pl.col("accuracy") == pl.col("validation_accuracy"))
        .group_by("arm", "cell")
        .agg(pl.col("trial").min(), pl.col("validation_accuracy", "candidates").first())
        .join(trials.lazy().select("trial", *keys), on="trial")
        .select(*keys, "cell", "trial", "validation_accuracy", "candidates")
        .sort("trial", "cell")
        .collect()
    )


def outcome(choices: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Return the choices with the `accuracy, num_samples, attack_radius` of the test records.

    Where the chosen trial has no test record these are null: the cell is missing.
    """
    place = ["trial", "cell"]
    measured = test.join(choices.select(place).unique(), on=place)  # few: what follows is cheap
    return choices.join(measured, on=place, how="left")


def selected(
    records: Records,
    family: str = "mlp",
    keys: Sequence[str] = (),
    datasets: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return test results of the trials chosen on validation, for all attacks and radii.

    Args:
        records: all records.
        family: `mlp` or `cnn`; the paper never chooses between the two.
        keys: further trial columns to choose within, such as `scaling`.
        datasets: choose for these data sets only (default: all).

    Returns:
        Rows `family, dataset, defense, seed, split_seed, *keys, CELL, trial,
        validation_accuracy, candidates, attack_radius, accuracy, num_samples`.
    """
    arm = ("family", "dataset", "defense", *REPETITION, *keys)

    def make() -> pl.DataFrame:
        trials = records.trials
        if datasets is not None:
            trials = trials.filter(pl.col("dataset").is_in(datasets))
        choices = choose(records.validation, trials, arm)
        cells = records.cells.select("cell", *CELL).unique()
        return outcome(choices, records.test).join(cells, on="cell").drop("cell")

    key = (arm, None if datasets is None else tuple(datasets))
    return records.once(key, make).filter(pl.col("family") == family)


def mean_over_repetitions(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return mean and deviation of test accuracy over seeds and splits, per `keys`.

    Returns:
        Rows `keys, accuracy, deviation, repetitions, num_samples, candidates`: `accuracy` is
        the mean over the repetitions that have one, `deviation` their standard deviation (null
        for one), `num_samples` the smallest test set, `candidates` the trials chosen among.
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
