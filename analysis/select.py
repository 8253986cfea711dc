"""Selection of hyperparameters, once, for all tables: choose on validation, report on test.

For each data set, defense, attack and radius the trials with the highest validation accuracy under
that attack and radius are chosen. Often there are several: validation data are few, so accuracies
tie, and the paper is silent. What is reported is then the mean of their test accuracies, as no
order among them has anything to do with accuracy; the range is kept beside it. The trial whose
settings are shown is the first in tie order: the smaller grid radius, then the smaller learning
rate, then the trial id (trials are numbered in that order). Trials that differ in seed or split
seed alone are repetitions: each repetition chooses for itself.

`choose` is given validation rows only and its result is fixed before any test row is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.recordings import SAME
from analysis.records import REPETITION, Records


def choose(validation: pl.DataFrame, trials: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return the chosen trials of every arm and cell.

    Args:
        validation: rows `trial, cell, accuracy` measured on validation data.
        trials: the trials to choose among, numbered in tie order; only complete ones compete.
        keys: the trial columns that make an arm, for which is chosen once per cell.

    Returns:
        Rows `keys, cell, trial, ties, tied, validation_accuracy, candidates`: `ties` are the
        `tied` trials that share the highest accuracy, `trial` the first of them, and
        `candidates` the number that competed.
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
        .filter(pl.col("accuracy") >= pl.col("validation_accuracy") - SAME)
        .group_by("arm", "cell")
        .agg(
            pl.col("trial").min(),
            pl.col("trial").sort().alias("ties"),
            pl.len().alias("tied"),
            pl.col("validation_accuracy", "candidates").first(),
        )
        .join(trials.lazy().select("trial", *keys), on="trial")
        .select(*keys, "cell", "trial", "ties", "tied", "validation_accuracy", "candidates")
        .sort("trial", "cell")
        .collect()
    )


def outcome(choices: pl.DataFrame, test: pl.DataFrame) -> pl.DataFrame:
    """Return the choices with what the test records say of them.

    Returns:
        The choices with `accuracy`, the mean over the tied trials that have a test record,
        `tied_low, tied_high`, the lowest and the highest of those, `num_samples, attack_radius`.
        Where none has, these are null: the cell is missing.
    """
    pairs = choices.select("cell", pl.col("ties").alias("trial")).with_row_index("choice")
    tested = test.lazy().select("trial", "cell", "attack_radius", "accuracy", "num_samples")
    accuracy = pl.col("accuracy")
    found = (
        tested.join(pairs.lazy().explode("trial"), on=["trial", "cell"])
        .group_by("choice")
        .agg(
            # Rounded, since a mean of equal numbers may differ from them in the last digit.
            accuracy.mean().round(12),
            accuracy.min().alias("tied_low"),
            accuracy.max().alias("tied_high"),
            pl.col("num_samples", "attack_radius").min(),
        )
    )
    return (
        choices.lazy()
        .with_row_index("choice")
        .join(found, on="choice", how="left", maintain_order="left")
        .drop("choice")
        .collect()
    )


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
        Rows `family, dataset, defense, seed, split_seed, *keys, CELL`, and the columns of
        `choose` and `outcome`.
    """
    arm = ("family", "dataset", "defense", *REPETITION, *keys)

    def make() -> pl.DataFrame:
        trials = records.trials
        if datasets is not None:
            trials = trials.filter(pl.col("dataset").is_in(datasets))
        choices = choose(records.validation, trials, arm)
        return outcome(choices, records.test).join(records.cells, on="cell").drop("cell")

    key = (arm, None if datasets is None else tuple(datasets))
    return records.once(key, make).filter(pl.col("family") == family)


def paired(frame: pl.DataFrame, place: Sequence[str]) -> pl.DataFrame:
    """Return the rows of the repetitions that all defenses of a place share.

    Where no repetition is shared by all, those that the most defenses share count (then the most
    such repetitions, then the smaller seed), and the other defenses have no row.

    Args:
        frame: rows with `place, defense, seed, split_seed`.
        place: what the defenses are compared at, such as data set, attack and radius.
    """
    if frame.select(pl.struct(REPETITION).n_unique()).item() == 1:
        return frame
    repetitions = frame.group_by(*place, *REPETITION).agg(
        pl.col("defense").unique().sort().str.join(chr(0)).alias("having"),
        pl.col("defense").n_unique().alias("many"),
    )
    shared = (
        repetitions.group_by(*place, "having", "many")
        .agg(pl.len().alias("times"), pl.struct(REPETITION).sort().first().alias("first"))
        .sort("many", "times", "first", descending=[True, True, False])
        .unique(list(place), keep="first", maintain_order=True)
    )
    kept = repetitions.join(shared, on=[*place, "having"], how="semi")
    return frame.join(kept, on=[*place, *REPETITION], how="semi", maintain_order="left")


def mean_over_repetitions(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Return mean and deviation of test accuracy over seeds and splits, per `keys`.

    Args:
        frame: rows as `selected` returns them.
        keys: `defense`, and what the defenses are compared at: all of them are averaged over
            the same repetitions there.

    Returns:
        Rows `keys, accuracy, deviation, repetitions, num_samples, candidates, tied, tied_low,
        tied_high`: `accuracy` is the mean over the `repetitions`, `deviation` their standard
        deviation (null for one), `num_samples` the smallest test set, `candidates` the trials
        chosen among, `tied` those chosen, `tied_low, tied_high` the mean of the lowest and of
        the highest accuracy among them.
    """
    measured = frame.drop_nulls("accuracy")
    return (
        paired(measured, [key for key in keys if key != "defense"])
        .group_by(*keys)
        .agg(
            pl.col("accuracy").mean().round(12),
            pl.col("accuracy").std().alias("deviation"),
            pl.len().alias("repetitions"),
            pl.col("num_samples").min(),
            pl.col("candidates", "tied").sum(),
            pl.col("tied_low", "tied_high").mean().round(12),
        )
        .sort(*keys)
    )
