"""Ranks of the defenses per data set, and their means: Figure 2 and the sweep's last lines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl

from analysis.names import CERTIFICATES, ordered
from analysis.records import Records
from analysis.select import mean_over_repetitions, selected
from analysis.stats import Array, dense_ranks, mean_interval

CELL = ("attack", "attack_norm", "attack_grid_radius")


def attacked_accuracies(records: Records, datasets: tuple[str, ...]) -> pl.DataFrame:
    """Return selected test accuracy per data set, defense, attack and radius, attacks only.

    Columns `dataset, defense, CELL, accuracy, ...`; means over seeds and splits.
    """
    trials = records.trials.filter(
        pl.col("dataset").is_in(datasets) & ~pl.col("network").str.starts_with("cnn")
    )
    chosen = selected(records, trials).filter(
        ~pl.col("attack").cast(pl.String).is_in(CERTIFICATES)
    )
    return mean_over_repetitions(chosen, ("dataset", "defense", *CELL)).with_columns(
        pl.col("attack", "attack_norm").cast(pl.String)
    )


def complete_matrix(
    cell: pd.DataFrame, defenses: list[str]
) -> tuple[Array, list[str], dict[str, int]]:
    """Return accuracies (data sets, defenses) of the data sets where every defense has one.

    Also their names, and how many data sets each defense has a result on.
    """
    wide = cell.pivot(index="dataset", columns="defense", values="accuracy")
    wide = wide.reindex(columns=defenses)
    present = {str(d): int(n) for d, n in wide.notna().sum().items()}
    whole = wide.dropna()
    return whole.to_numpy(np.float64), [str(d) for d in whole.index], present


def mean_ranks(accuracies: pl.DataFrame) -> pd.DataFrame:
    """Return mean dense rank and 95% interval per attack, radius and defense.

    Ranks are taken only over data sets where every compared defense has a result, `datasets` of
    them; `present` counts those of the one defense.
    """
    frame = accuracies.to_pandas()
    defenses = ordered(set(frame["defense"]))
    rows = []
    for key, cell in frame.groupby(list(CELL)):
        matrix, names, present = complete_matrix(cell, defenses)
        if not names:
            continue
        mean, low, high = mean_interval(dense_ranks(matrix))
        for i, defense in enumerate(defenses):
            values = (defense, mean[i], low[i], high[i], len(names), present[defense])
            rows.append((*key, *values))
    columns = [*CELL, "defense", "mean_rank", "ci_low", "ci_high", "datasets", "present"]
    return pd.DataFrame(rows, columns=columns)
