"""Are the defenses' ranks different? Friedman's test and what follows it.

Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006). Ranks here
are average ranks (ties share their mean), as these tests ask; Figure 2 shows dense ranks, as the
paper does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import numpy.typing as npt
import scipy  # its `stats` is imported when first used, and takes long

from analysis.stats import Array

FEWEST = 6  # data sets for Wilcoxon's test
Pairs = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Friedman:
    """Friedman's test over k treatments (defenses) on n blocks (data sets)."""

    statistic: float
    p: float
    mean_ranks: Array  # (k,), average ranks, 1 is best


def friedman(scores: Array) -> Friedman | None:
    """Return Friedman's test of scores (n, k), higher is better; None below 3 x 2.

    All scores equal is no difference: statistic 0, p 1.
    """
    n, k = scores.shape
    if k < 3 or n < 2:
        return None
    ranks = scipy.stats.rankdata(-scores, axis=1)
    if (scores == scores[:, :1]).all():
        return Friedman(0.0, 1.0, ranks.mean(axis=0))
    test = scipy.stats.friedmanchisquare(*scores.T)
    return Friedman(float(test.statistic), float(test.pvalue), ranks.mean(axis=0))


@cache
def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks, q_alpha sqrt(k (k + 1) / (6 n))."""
    q = scipy.stats.studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(k * (k + 1) / (6 * n)))


def pairs(k: int) -> Pairs:
    """Return all pairs of k treatments, (k (k - 1) / 2, 2)."""
    return np.array(list(combinations(range(k), 2)), dtype=np.intp).reshape(-1, 2)


def nemenyi(mean_ranks: Array, n: int) -> Array:
    """Return Nemenyi's p of every pair, in the order of `pairs`."""
    k = len(mean_ranks)
    a, b = pairs(k).T
    q = np.abs(mean_ranks[a] - mean_ranks[b]) / np.sqrt(k * (k + 1) / (6 * n))
    p: Array = scipy.stats.studentized_range.sf(q * np.sqrt(2), k, np.inf)
    return np.clip(p, 0, 1)


def wilcoxon(scores: Array) -> Array:
    """Return Wilcoxon's signed-rank p of every pair of columns, zeros split evenly.

    NaN below six blocks, where no p can be below 0.05.
    """
    n, k = scores.shape
    a, b = pairs(k).T
    if n < FEWEST:
        return np.full(len(a), np.nan)
    # Equal accuracies differ by exactly 0; rounding keeps averages over seeds from hiding that.
    differences = np.round(scores[:, a] - scores[:, b], 12)
    p: Array = scipy.stats.wilcoxon(differences, axis=0, zero_method="zsplit").pvalue
    return np.nan_to_num(np.atleast_1d(p), nan=1.0)


def holm(p: Array) -> Array:
    """Return Holm's step-down adjustment of p values, in their order; NaN stay so."""
    order = np.argsort(p, kind="stable")
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.clip(np.maximum.accumulate(steps), 0, 1)
    return adjusted
