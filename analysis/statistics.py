"""Ranks and intervals: the arithmetic behind tables and figures, on plain arrays.

How often a 95% interval of the mean of n values holds the true mean, in percent, as
`python -m benchmarks.coverage` measures it (10,000 samples each). Tables and figures use
the first two; the plain bootstrap, in the last columns to compare, is too narrow at small n:

                     Student's t       wider of t and       percentile
                                        bootstrap-t          bootstrap
    values          n=4   12   46       n=4   12   46       n=4   12   46
    normal         94.7 94.7 94.9      97.2 95.6 95.3      79.8 90.6 94.0
    exponential    88.2 90.4 92.8      94.3 94.8 95.5      75.0 86.9 92.3
    lognormal      82.3 84.0 90.0      91.0 90.9 94.5      68.6 81.2 89.7
    skewed ranks   90.6 90.4 94.0      90.6 94.1 97.0      72.2 88.0 93.4

Of scipy only `special` is imported here: `stats` takes longer than most tables do.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
MOST_RESAMPLED = 1000  # values, whose resamples would take memory for nothing
FLAT = 1e-9  # a resample's variance, over that of the values, below which it counts as none


def dense_ranks(scores: Array) -> Array:
    """Return dense ranks along the last axis, 1 for the highest; equal scores share a rank.

    What is NaN has no rank, NaN, and does not count for the others.
    """
    lower = np.sort(scores, axis=-1)  # NaN stand last
    new = np.ones(lower.shape, dtype=bool)  # at the first of equal scores
    new[..., 1:] = lower[..., 1:] > lower[..., :-1]
    above = (scores[..., :, None] < lower[..., None, :]) & new[..., None, :]
    return np.where(np.isnan(scores), np.nan, 1.0 + above.sum(axis=-1))


def average_ranks(scores: Array) -> Array:
    """Return ranks along the last axis, 1 for the highest; equal scores share their mean rank.

    What is NaN has no rank, NaN, and does not count for the others.
    """
    mine, other = scores[..., :, None], scores[..., None, :]
    above, equal = (mine < other).sum(axis=-1), (mine == other).sum(axis=-1)
    return np.where(np.isnan(scores), np.nan, above + (equal + 1) / 2)


def mean_interval(values: Array, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Return mean and Student's t interval over the first axis.

    NaN bounds for one value, and no mean either for none. Values that are all equal have an
    interval without width: nothing in them tells how far the next one may lie.
    """
    values = np.asarray(values, dtype=np.float64)
    n = values.shape[0]
    nothing = np.full(values.shape[1:], np.nan)
    if n < 2:
        return values[0] if n else nothing, nothing, nothing.copy()
    mean = values.mean(axis=0)
    half = special.stdtrit(n - 1, 0.5 + level / 2) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return mean, mean - half, mean + half


def binomial_interval(
    shares: Array, counts: npt.NDArray[np.int64], level: float = 0.95
) -> tuple[Array, Array]:
    """Return Wilson's interval of shares out of `counts` trials each; NaN for no trial."""
    z = special.ndtri(0.5 + level / 2)
    trials = np.where(np.asarray(counts) > 0, counts, np.nan)
    spread = z**2 / trials
    centre = (shares + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(shares * (1 - shares) / trials + spread / (4 * trials))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def bootstrap_interval(
    values: Array, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[Array, Array]:
    """Return an interval of the mean over the first axis (n, ...) that holds at small n.

    On either side the wider of Student's t and the studentised bootstrap (Efron and Tibshirani
    1993, section 12.5), mean - q s / sqrt(n), with q the quantile of (resample's mean - mean) /
    (its s / sqrt(n)). Resamples of equal values have no s and are set aside. The bootstrap
    follows skewness, which Student's t does not; where few values are tied it is too narrow.

    Each resample draws n of the n rows with replacement; the seed is fixed so that a table
    comes out the same twice. NaN bounds for one value or none; Student's beyond
    `MOST_RESAMPLED`, where skewness no longer matters.
    """
    mean, low, high = mean_interval(values, level)
    n = len(values)
    if n < 2 or n > MOST_RESAMPLED:
        return low, high
    deviations = (np.asarray(values, dtype=np.float64) - mean).reshape(n, -1)
    tail = 0.5 - level / 2
    below, above = _studentised(deviations, (1 - tail, tail), resamples, seed)
    shape = mean.shape
    return (
        np.minimum(low, mean - below.reshape(shape)),
        np.maximum(high, mean - above.reshape(shape)),
    )


def _studentised(
    deviations: Array, quantiles: tuple[float, float], resamples: int, seed: int
) -> Array:
    """Return quantiles of resamples' (mean / s), times s of the deviations, (2, columns)."""
    weights = _resampling(len(deviations), resamples, seed)
    means = weights @ deviations
    variances = weights @ deviations**2 - means**2
    variance = (deviations**2).mean(axis=0)
    usable = variances > FLAT * variance
    scores = np.full_like(means, np.nan)
    np.divide(means, np.sqrt(variances, where=usable, out=np.ones_like(means)),
              out=scores, where=usable)  # fmt: skip
    scores[:, ~usable.any(axis=0)] = 0.0
    result: Array = np.nanquantile(scores, quantiles, axis=0) * np.sqrt(variance)
    return result


@cache
def _resampling(n: int, resamples: int, seed: int) -> Array:
    """Return the weight of each of n rows in each resample's mean, (resamples, n)."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    weights: Array = drawn / n
    return weights
