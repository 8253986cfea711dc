"""Ranks and intervals: the arithmetic behind tables and figures, on plain arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]


def dense_ranks(scores: Array) -> Array:
    """Return dense ranks along the last axis, 1 for the highest; equal scores share a rank."""
    ranks: Array = stats.rankdata(-scores, method="dense", axis=-1).astype(np.float64)
    return ranks


def mean_interval(values: Array, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Return mean and Student's t interval over the first axis; NaN bounds for one value."""
    n = values.shape[0]
    mean = values.mean(axis=0)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = stats.t.ppf(0.5 + level / 2, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half
