"""Ranks of the defenses per data set: their means (Figure 2) and the tests on them.

Two rules hold wherever defenses are ranked:

- A defense that has trials on a data set and no finished network there, all having diverged or
  failed, ranks last on it. Leaving such data sets out would reward divergence. With several seeds
  or splits the same holds where it finished in less than `FINISHED` of those it was run in.
- A defense that was run on less than `COVERAGE` of the data sets is left out, and named. Of the
  others the ranks are over the data sets on which each of them was run. Nothing is imputed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from analysis.certificates import IS_CERTIFICATE
from analysis.names import ordered
from analysis.posthoc import Friedman, friedman
from analysis.records import CELL, REPETITION, Records
from analysis.select import mean_over_repetitions, selected
from analysis.statistics import Array, bootstrap_interval, dense_ranks, mean_interval

COVERAGE = 0.5  # share of the data sets on which a defense must have been run to be ranked
FINISHED = 0.5  # share of seeds and splits in which it must have finished a network to have a rank
BELOW_ALL = -1.0  # the score of a defense that has no finished network: less than any accuracy
DIGITS = 7  # of accuracies that are ranked: more is the rounding of float32 and of means


def attacked_accuracies(records: Records, datasets: tuple[str, ...]) -> pl.DataFrame:
    """Return selected test accuracy per data set, defense, attack and radius, attacks only.

    Columns `dataset, defense, CELL, accuracy, ...`; means over the seeds and splits that the
    defenses share. Where a defense has no finished network the accuracy is null.
    """

    def make() -> pl.DataFrame:
        chosen = selected(records).filter(pl.col("dataset").is_in(datasets) & ~IS_CERTIFICATE)
        return means_of_all(chosen, records, CELL)

    return records.once(("attacked", datasets), make)


def means_of_all(chosen: pl.DataFrame, records: Records, place: Sequence[str]) -> pl.DataFrame:
    """Return means over repetitions of every defense that was run, null where none finished.

    Args:
        chosen: rows as `mean_over_repetitions` takes them.
        records: the trials.
        place: the columns of attack and radius.
    """
    lost = unfinished(records)
    finished = chosen.join(lost, on=["dataset", "defense"], how="anti")
    means = mean_over_repetitions(finished, ("dataset", "defense", *place))
    added = means.select("dataset", *place).unique().join(lost, on="dataset")
    return pl.concat([means, added], how="diagonal").sort("dataset", "defense", *place)


def unfinished(records: Records) -> pl.DataFrame:
    """Return `dataset, defense` of each defense that has trials on a data set and no rank.

    Those are the ones that finished a network in less than `FINISHED` of the seeds and splits.
    """
    return (
        records.trials.filter(pl.col("family") == "mlp")
        .group_by("dataset", "defense", *REPETITION)
        .agg((pl.col("status") == "complete").any().alias("finished"))
        .group_by("dataset", "defense")
        .agg(pl.col("finished").mean())
        .filter((pl.col("finished") == 0) | (pl.col("finished") < FINISHED))
        .select("dataset", "defense")
    )


@dataclass(frozen=True)
class Comparison:
    """Accuracies of the covered defenses on the data sets on which every one of them was run.

    Attributes:
        place: what is compared at, such as `attack, attack_norm, attack_grid_radius`.
        defenses: those ranked.
        datasets: those that count.
        scores: (data sets, defenses); NaN where a defense has no finished network.
        present: the data sets with a result, per defense.
        run_on: the data sets on which it was run, those that count or not, per defense.
        partial: (all data sets, defenses), one below all accuracies where nothing finished and
            NaN where a defense was not run.
        total: the data sets with any result.
        left_out: the defenses below `COVERAGE`, with the number of data sets of each.
    """

    place: dict[str, Any]
    defenses: tuple[str, ...]
    datasets: tuple[str, ...]
    scores: Array
    present: tuple[int, ...]
    run_on: tuple[int, ...]
    partial: Array
    total: int
    left_out: dict[str, int]

    @property
    def ordinal(self) -> Array:
        """The scores with one below all accuracies for NaN: right for ranks and signs."""
        return np.nan_to_num(self.scores, nan=BELOW_ALL)

    @property
    def unfinished(self) -> tuple[int, ...]:
        """The data sets on which each defense has no finished network."""
        return tuple(int(n) for n in np.isnan(self.scores).sum(axis=0))


def covered(accuracies: pl.DataFrame, place: Sequence[str]) -> pl.DataFrame:
    """Return rows `*place, defense, run_on, total, covered`: on how many data sets each was run.

    Args:
        accuracies: rows `dataset, defense, *place, accuracy`, null where none finished.
        place: what is compared at.
    """
    measured = accuracies.drop_nulls("accuracy")
    total = measured.group_by(place).agg(pl.col("dataset").n_unique().alias("total"))
    run = (
        accuracies.join(measured.select(*place, "dataset").unique(), on=[*place, "dataset"])
        .group_by(*place, "defense")
        .agg(pl.col("dataset").n_unique().alias("run_on"))
    )
    return run.join(total, on=list(place)).with_columns(
        covered=pl.col("run_on") >= COVERAGE * pl.col("total")
    )


def comparisons(accuracies: pl.DataFrame, place: Sequence[str] = CELL) -> Iterator[Comparison]:
    """Yield one comparison per place, in order.

    Args:
        accuracies: rows `dataset, defense, *place, accuracy`, null where none finished.
        place: what is compared at.
    """
    cells = accuracies.sort(*place).partition_by(place, as_dict=True, maintain_order=True)
    known = covered(accuracies, place).partition_by(place, as_dict=True)
    for values, rows in cells.items():
        if values in known:
            yield _comparison(dict(zip(place, values, strict=True)), rows, known[values])


def _comparison(place: dict[str, Any], rows: pl.DataFrame, known: pl.DataFrame) -> Comparison:
    """Return the comparison of one place from its rows and what `covered` says of them."""
    defenses = ordered(known.filter("covered")["defense"].to_list())
    datasets = sorted(rows["dataset"].unique().to_list())
    column = {defense: i for i, defense in enumerate(defenses)}
    line = {dataset: i for i, dataset in enumerate(datasets)}
    scores = np.full((len(datasets), len(defenses)), np.nan)
    run = np.zeros(scores.shape, dtype=bool)
    for dataset, defense, accuracy in rows.select("dataset", "defense", "accuracy").iter_rows():
        if defense in column:
            run[line[dataset], column[defense]] = True
            scores[line[dataset], column[defense]] = np.nan if accuracy is None else accuracy
    finished = ~np.isnan(scores)
    whole = run.all(axis=1) & finished.any(axis=1)
    outside = known.filter(~pl.col("covered")).select("defense", "run_on")
    return Comparison(
        place=place,
        defenses=tuple(defenses),
        datasets=tuple(d for d, kept in zip(datasets, whole, strict=True) if kept),
        scores=np.round(scores[whole], DIGITS),
        present=tuple(int(n) for n in finished.sum(axis=0)),
        run_on=tuple(int(n) for n in run.sum(axis=0)),
        partial=np.where(run & ~finished, BELOW_ALL, scores).round(DIGITS),
        total=int(known["total"][0]),
        left_out=dict(sorted(outside.iter_rows())),
    )


def rank_interval(ranks: Array) -> tuple[Array, Array, Array]:
    """Return mean and 95% interval of ranks (n, k) across data sets; NaN bounds for one.

    Student's, save where all n ranks of a defense are equal and there is no spread to go by:
    then the share q of data sets on which the rank is another is below 1 - 0.025^(1/n) with
    97.5% confidence (Clopper and Pearson), and the mean is within q of the way to 1 and to k.
    """
    n, k = ranks.shape
    mean, low, high = mean_interval(ranks)
    if n < 2:
        return mean, low, high
    q = 1 - 0.025 ** (1 / n)
    flat = (ranks == ranks[:1]).all(axis=0)
    low = np.where(flat, mean - q * (mean - 1), low)
    return mean, low, np.where(flat, mean + q * (k - mean), high)


def mean_ranks(accuracies: pl.DataFrame) -> pd.DataFrame:
    """Return mean dense rank per attack, radius and defense, with two 95% intervals.

    `ci_low, ci_high` are those of `rank_interval`, `bootstrap_low, bootstrap_high` resample data
    sets. Ranks are taken over the `datasets` of `total` data sets on which every covered defense
    was run; `present` counts those on which the one defense has a result, `unfinished` those of
    the `datasets` on which it has none since nothing finished, and ranks last.
    """
    rows = []
    for cell in comparisons(accuracies):
        if not cell.datasets:
            continue
        ranks = dense_ranks(cell.ordinal)
        columns = (*rank_interval(ranks), *bootstrap_interval(ranks))
        for i, defense in enumerate(cell.defenses):
            numbers = [column[i] for column in columns]
            counts = (len(cell.datasets), cell.present[i], cell.unfinished[i], cell.total)
            rows.append((*cell.place.values(), defense, *numbers, *counts))
    names = ["mean_rank", "ci_low", "ci_high", "bootstrap_low", "bootstrap_high"]
    counted = ["datasets", "present", "unfinished", "total"]
    frame = pd.DataFrame(rows, columns=[*CELL, "defense", *names, *counted])
    return frame.sort_values([*CELL], kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class RankTest(Comparison):
    """A comparison with Friedman's test on it."""

    friedman: Friedman


def rank_tests(records: Records) -> list[RankTest]:
    """Return Friedman's test per attack and radius over the tabular data sets.

    Cells with fewer than three covered defenses or two data sets allow none and are left out.
    `scores` are NaN where a defense has no finished network; `ordinal` puts these last.
    """

    def make() -> list[RankTest]:
        cells = comparisons(attacked_accuracies(records, records.tabular_datasets))
        tested = ((cell, friedman(cell.ordinal)) for cell in cells)
        return [RankTest(**vars(cell), friedman=test) for cell, test in tested if test]

    return records.once("rank tests", make)
