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
from scipy import special

from analysis.statistics import Array, average_ranks

FEWEST = 6  # data sets for Wilcoxon's test
EXACT = 100  # data sets up to which Wilcoxon's p is exact; beyond, its normal limit is as good
Pairs = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Friedman:
    """Friedman's test over k treatments (defenses) on n blocks (data sets).

    Attributes:
        statistic, p: Friedman's chi-squared, or Skillings and Mack's where scores are missing.
        mean_ranks: (k,), average ranks, 1 is best. Where scores are missing, ranks among the
            few are stretched to k, and a treatment without any score has NaN.
        corrected, corrected_p: Iman and Davenport's F; NaN where scores are missing.
    """

    statistic: float
    p: float
    mean_ranks: Array
    corrected: float
    corrected_p: float


def friedman(scores: Array) -> Friedman | None:
    """Return Friedman's test of scores (n, k), higher is better; None below 3 x 2.

    Where scores are missing (NaN) it is the test of Skillings and Mack (Technometrics 23, 1981),
    which is Friedman's where none is. Blocks with fewer than two scores say nothing and are left
    out. All scores equal is no difference: statistic 0, p 1. No p is below the least that
    permutations of so few blocks can give.
    """
    scores = _comparable(scores)
    scores = scores[(~np.isnan(scores)).sum(axis=1) >= 2]
    n, k = scores.shape
    if n < 2 or (~np.isnan(scores).all(axis=0)).sum() < 3:
        return None
    ranks = average_ranks(scores)
    statistic, freedom = _skillings_mack(ranks)
    floor = _least_p(ranks)
    p = max(float(special.chdtrc(freedom, statistic)), floor) if freedom else 1.0
    if np.isnan(scores).any():
        return Friedman(statistic, p, _stretched(ranks), np.nan, np.nan)
    f, f_p = _iman_davenport(statistic, n, k)
    return Friedman(statistic, p, ranks.mean(axis=0), f, max(f_p, floor))


def _comparable(scores: Array) -> Array:
    """Return scores in which what is equal but for rounding is equal.

    Accuracies that differ do so by far more; means over seeds differ in their last digits.
    """
    digits = 6 if scores.dtype == np.float32 else 12
    rounded: Array = np.asarray(scores, dtype=np.float64).round(digits)
    return rounded


def _skillings_mack(ranks: Array) -> tuple[float, int]:
    """Return Skillings and Mack's statistic of ranks (n, k) and its degrees of freedom.

    A' C^- A with A_j = sum_i sqrt(12 / (k_i + 1)) (R_ij - (k_i + 1) / 2) over the k_i scores of
    block i, and C the covariance of A over permutations within blocks. Theirs is for ranks
    without ties; with the variance of the tied ranks, complete blocks give Friedman's statistic
    with its correction for ties.
    """
    there = ~np.isnan(ranks)
    sizes = there.sum(axis=1, keepdims=True)
    centred = np.where(there, ranks - (sizes + 1) / 2, 0.0)
    sums = (np.sqrt(12 / (sizes + 1)) * centred).sum(axis=0)
    shares = 12 / (sizes + 1) * (centred**2).sum(axis=1, keepdims=True) / (sizes * (sizes - 1))
    together = (shares * there).T @ there
    covariance = np.diag(together.sum(axis=1)) - together
    variances, axes = np.linalg.eigh(covariance)
    kept = variances > 1e-9 * max(variances.max(), 1.0)
    along = axes.T @ sums
    return float((along[kept] ** 2 / variances[kept]).sum()), int(kept.sum())


def _iman_davenport(statistic: float, n: int, k: int) -> tuple[float, float]:
    """Return F = (n - 1) chi2 / (n (k - 1) - chi2) and its p, with k - 1, (k - 1)(n - 1)."""
    left = n * (k - 1) - statistic
    if left <= 1e-9 * n * (k - 1):  # every block ranks alike
        return np.inf, 0.0
    f = (n - 1) * statistic / left
    return f, float(special.fdtrc(k - 1, (k - 1) * (n - 1), f))


def _least_p(ranks: Array) -> float:
    """Return a p that permuting ranks (n, k) within blocks cannot go below.

    A block has m_i = k_i! / (t! of each tie) arrangements. Renaming the treatments everywhere
    leaves the statistic as it is, so at least max m_i of all prod m_i reach the observed one.
    """
    equal = (ranks[:, :, None] == ranks[:, None, :]).sum(axis=2)
    tied = np.where(equal > 0, special.gammaln(equal + 1.0) / np.maximum(equal, 1), 0.0)
    sizes = (~np.isnan(ranks)).sum(axis=1)
    arrangements = special.gammaln(sizes + 1.0) - tied.sum(axis=1)  # their logarithm
    return float(np.exp(arrangements.max() - arrangements.sum()))


def _stretched(ranks: Array) -> Array:
    """Return the mean of R_ij (k + 1) / (k_i + 1) over each treatment's blocks."""
    there = ~np.isnan(ranks)
    scale = (ranks.shape[1] + 1) / (there.sum(axis=1, keepdims=True) + 1)
    counts = there.sum(axis=0)
    total = np.where(there, ranks * scale, 0.0).sum(axis=0)
    mean: Array = total / np.where(counts > 0, counts, np.nan)
    return mean


@cache
def _nemenyi_quantile(k: int, alpha: float) -> float:
    return float(scipy.stats.studentized_range.ppf(1 - alpha, k, np.inf) / np.sqrt(2))


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's critical difference of mean ranks, q_alpha sqrt(k (k + 1) / (6 n))."""
    return _nemenyi_quantile(k, alpha) * float(np.sqrt(k * (k + 1) / (6 * n)))


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

    Exact up to `EXACT` blocks, with zeros and ties too. Blocks without a score of both (NaN) are
    left out of a pair. NaN below six blocks, where no p can be below 0.05.
    """
    # Of rounded differences too: 0.3 - 0.2 and 0.2 - 0.1 are one tie.
    scores = _comparable(scores)
    differences = (_comparable(scores[:, a] - scores[:, b]) for a, b in pairs(scores.shape[1]))
    return np.array([_signed_rank_p(d[~np.isnan(d)]) for d in differences], dtype=np.float64)


def _signed_rank_p(differences: Array) -> float:
    """Return the two-sided p of the signed ranks of differences (n,); NaN if there are few.

    Zeros take ranks, but a sign adds the same half to both sides: they only raise the others'.
    """
    if len(differences) < FEWEST:
        return np.nan
    doubled = _doubled_ranks(np.abs(differences))
    moved = doubled[differences != 0]
    if not len(moved):
        return 1.0
    gained = int(doubled[differences > 0].sum())
    if len(differences) > EXACT:
        apart = abs(gained - moved.sum() / 2) / np.sqrt((moved.astype(np.float64) ** 2).sum() / 4)
        return float(2 * special.ndtr(-apart))
    chances = _sum_chances(moved)
    return min(1.0, 2 * float(min(chances[: gained + 1].sum(), chances[gained:].sum())))


def _doubled_ranks(magnitudes: Array) -> npt.NDArray[np.int64]:
    """Return twice the average ranks of magnitudes (n,), 2 for a single smallest: integers."""
    order = np.sort(magnitudes)
    below, upto = (np.searchsorted(order, magnitudes, side) for side in ("left", "right"))
    doubled: npt.NDArray[np.int64] = (below + upto + 1).astype(np.int64)
    return doubled


def _sum_chances(ranks: npt.NDArray[np.int64]) -> Array:
    """Return the chance of every sum of ranks that each count or not, with chance one half."""
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1.0
    for rank in ranks.tolist():
        chances /= 2
        chances[rank:] += chances[:-rank].copy()
    return chances


def holm(p: Array) -> Array:
    """Return Holm's step-down adjustment of p values, in their order; NaN are no tests."""
    order = np.argsort(p, kind="stable")  # NaN stand last
    tests = int((~np.isnan(p)).sum())
    steps = np.maximum(tests - np.arange(len(p)), 1) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.clip(np.maximum.accumulate(steps), 0, 1)
    return adjusted
