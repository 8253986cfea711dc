"""Ranks of the defenses per data set: their means (Figure 2) and the tests on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd
import polars as pl

from analysis.names import CERTIFICATES, ordered
from analysis.posthoc import Friedman, friedman
from analysis.records import Records
from analysis.select import CELL, mean_over_repetitions, selected
from analysis.stats import Array, bootstrap_interval, dense_ranks, mean_interval


def attacked_accuracies(records: Records, datasets: tuple[str, ...]) -> pl.DataFrame:
    """Return selected test accuracy per data set, defense, attack and radius, attacks only.

    Columns `dataset, defense, CELL, accuracy, ...`; means over seeds and splits.
    """

    def make() -> pl.DataFrame:
        chosen = selected(records).filter(
            pl.col("dataset").is_in(datasets) & ~pl.col("attack").is_in(CERTIFICATES)
        )
        return mean_over_repetitions(chosen, ("dataset", "defense", *CELL))

    return records.once(("attacked", datasets), make)


class Place(TypedDict):
    """An attack at a radius."""

    attack: str
    attack_norm: str
    attack_grid_radius: float


@dataclass(frozen=True)
class Comparison:
    """Accuracies of the defenses on the data sets where every one of them has a result."""

    place: Place
    defenses: tuple[str, ...]
    datasets: tuple[str, ...]
    scores: Array  # (data sets, defenses)
    present: tuple[int, ...]  # data sets with a result, per defense
    partial: Array  # (all data sets, defenses), NaN where there is no result


def comparisons(accuracies: pl.DataFrame) -> Iterator[Comparison]:
    """Yield one comparison per attack and radius; nothing is imputed."""
    defenses = ordered(set(accuracies["defense"].to_list()))
    datasets = sorted(set(accuracies["dataset"].to_list()))
    places = sorted(set(accuracies.select(CELL).iter_rows()))
    index = [{value: i for i, value in enumerate(axis)} for axis in (places, datasets, defenses)]
    table = np.full((len(places), len(datasets), len(defenses)), np.nan)
    for *place, dataset, defense, accuracy in accuracies.select(
        *CELL, "dataset", "defense", "accuracy"
    ).iter_rows():
        table[index[0][tuple(place)], index[1][dataset], index[2][defense]] = accuracy
    for (attack, norm, radius), scores in zip(places, table, strict=True):
        whole = ~np.isnan(scores).any(axis=1)
        yield Comparison(
            place={"attack": attack, "attack_norm": norm, "attack_grid_radius": radius},
            defenses=tuple(defenses),
            datasets=tuple(d for d, kept in zip(datasets, whole, strict=True) if kept),
            scores=scores[whole],
            present=tuple(int(n) for n in (~np.isnan(scores)).sum(axis=0)),
            partial=scores,
        )


def mean_ranks(accuracies: pl.DataFrame) -> pd.DataFrame:
    """Return mean dense rank per attack, radius and defense, with two 95% intervals.

    `ci_low, ci_high` are Student's, `bootstrap_low, bootstrap_high` resample data sets. Ranks
    are taken only over the `datasets` data sets where every compared defense has a result;
    `present` counts those of the one defense.
    """
    rows = []
    for cell in comparisons(accuracies):
        if not cell.datasets:
            continue
        ranks = dense_ranks(cell.scores)
        columns = (*mean_interval(ranks), *bootstrap_interval(ranks))
        for i, defense in enumerate(cell.defenses):
            numbers = [column[i] for column in columns]
            rows.append(
                (*cell.place.values(), defense, *numbers, len(cell.datasets), cell.present[i])
            )
    names = ["mean_rank", "ci_low", "ci_high", "bootstrap_low", "bootstrap_high"]
    frame = pd.DataFrame(rows, columns=[*CELL, "defense", *names, "datasets", "present"])
    return frame.sort_values([*CELL], kind="stable").reset_index(drop=True)


@dataclass(frozen=True)
class RankTest(Comparison):
    """A comparison with Friedman's test on it."""

    friedman: Friedman


def rank_tests(records: Records) -> list[RankTest]:
    """Return Friedman's test per attack and radius over the tabular data sets.

    Cells with fewer than three defenses or two common data sets allow none and are left out.
    """

    def make() -> list[RankTest]:
        cells = comparisons(attacked_accuracies(records, records.tabular_datasets))
        tested = ((cell, friedman(cell.scores)) for cell in cells)
        return [RankTest(**vars(cell), friedman=test) for cell, test in tested if test]

    return records.once("rank tests", make)
