"""The flag `not-decreasing`: a larger ball that seems easier to survive than a smaller one.

It is about several rows of a trial, which may have been measured at different times, so that it is
raised by whoever reads all of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from analysis.autoattack import PREFIX
from analysis.statistics import Array

FLAG: Final = "not-decreasing"
SIGMAS: Final = 3.0


def with_rises(trials: pl.DataFrame, values: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return the trials, `not-decreasing` among the flags of those that deserve it.

    Of n samples of both splits k_1 survive some radius and k_2 a larger one. The rise counts where
    k_2 - k_1 > 3 sqrt(k_1 (n - k_1) / n + k_2 (n - k_2) / n), three standard deviations of two
    independent counts. The smallest count of all smaller radii is k_1.

    Args:
        trials: one row per trial, with `flags`.
        values: rows `trial, cell, accuracy, num_samples`.
        cells: `cell, attack, attack_grid_radius`, numbered by attack and then by radius.
    """
    attacked = cells.filter(~pl.col("attack").str.contains(f"^(certified|{PREFIX})"))
    most = trials["trial"].max()
    rising = np.zeros(1 + (most if isinstance(most, int) else -1), dtype=bool)
    for (_,), kind in attacked.sort("cell").group_by("attack", maintain_order=True):
        rising |= _rising(*_counts(values, kind["cell"], len(rising)))
    flagged = pl.concat_str(pl.col("flags"), pl.lit(FLAG), separator=" ").str.strip_chars()
    found = pl.Series(rising[trials["trial"].to_numpy()])
    return trials.with_columns(flags=pl.when(found).then(flagged).otherwise("flags"))


def _counts(values: pl.DataFrame, cells: pl.Series, trials: int) -> tuple[Array, Array]:
    """Return the survivors and the samples of both splits, each (radii, trials), 0 for none.

    Counted in arrays of one attack at a time: grouping all rows takes several times as long.
    """
    survivors, samples = np.zeros((2, len(cells), trials))
    rows = values.filter(pl.col("cell").is_in(cells.implode())).drop_nulls("accuracy")
    places = cells.search_sorted(rows["cell"]).to_numpy(), rows["trial"].to_numpy()
    n = rows["num_samples"].to_numpy().astype(np.float64)
    np.add.at(survivors, places, np.round(rows["accuracy"].to_numpy() * n))
    np.add.at(samples, places, n)
    return survivors, samples


def _rising(k: Array, n: Array) -> npt.NDArray[np.bool_]:
    """Return for each trial whether more survive a radius than chance allows after smaller."""
    found = np.zeros(k.shape[1], dtype=bool)
    low = np.full(k.shape[1], np.inf)
    for more, of in zip(k, n, strict=True):
        known = (of > 0) & np.isfinite(low)
        less, many, all_ = low[known], more[known], of[known]
        noise = less * (all_ - less).clip(0) / all_ + many * (all_ - many) / all_
        found[known] |= many - less > SIGMAS * np.sqrt(noise)
        low = np.where(of > 0, np.minimum(low, more), low)
    return found
