"""Ranks and intervals: the arithmetic behind tables and figures, on plain arrays.

Of scipy only `special` is imported here: `stats` takes longer than most tables do.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]


def dense_ranks(scores: Array) -> Array:
    """Return dense ranks along the last axis, 1 for the highest; equal scores share a rank."""
    lower = np.sort(scores, axis=-1)
    new = np.diff(lower, axis=-1, prepend=-np.inf) > 0  # at the first of equal scores
    above = (scores[..., :, None] < lower[..., None, :]) & new[..., None, :]
    ranks: Array = 1.0 + above.sum(axis=-1)
    return ranks


def mean_interval(values: Array, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Return mean and Student's t interval over the first axis; NaN bounds for one value."""
    n = values.shape[0]
    mean = values.mean(axis=0)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = special.stdtrit(n - 1, 0.5 + level / 2) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


def binomial_interval(
    shares: Array, counts: npt.NDArray[np.int64], level: float = 0.95
) -> tuple[Array, Array]:
    """Return Wilson's interval of shares out of `counts` trials each."""
    z = special.ndtri(0.5 + level / 2)
    spread = z**2 / counts
    centre = (shares + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(shares * (1 - shares) / counts + spread / (4 * counts))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def bootstrap_interval(
    values: Array, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Array, Array]:
    """Return the percentile bootstrap interval of the mean over the first axis (n, ...).

    Each resample draws n of the n rows with replacement; the seed is fixed so that a table
    comes out the same twice.
    """
    n = values.shape[0]
    means = _resampling(n, resamples, seed) @ values.reshape(n, -1)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return low.reshape(values.shape[1:]), high.reshape(values.shape[1:])


@cache
def _resampling(n: int, resamples: int, seed: int) -> Array:
    """Return the weight of each of n rows in each resample's mean, (resamples, n)."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    weights: Array = drawn / n
    return weights
