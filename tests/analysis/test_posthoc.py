"""Tests on ranks and intervals, against printed tables and worked examples."""

from __future__ import annotations

from itertools import permutations, product
from math import nan

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import posthoc
from analysis.posthoc import critical_difference, friedman, holm, nemenyi, pairs, wilcoxon
from analysis.statistics import (
    average_ranks,
    binomial_interval,
    bootstrap_interval,
    dense_ranks,
)

FEW_SCORES = st.integers(0, 3).map(lambda value: value / 10)  # many ties


def blocks_of(
    rows: int, columns: int, scores: st.SearchStrategy = FEW_SCORES
) -> st.SearchStrategy:
    row = st.lists(scores, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows).map(np.array)


def test_friedman_of_four_like_rankings() -> None:
    # Four times the ranks 1, 2, 3: chi2 = 12 * 4 / (3 * 4) * (1 + 0 + 1) = 8, and with two
    # degrees of freedom p = exp(-8 / 2).
    test = friedman(np.array([[0.9, 0.5, 0.1]] * 4) + np.arange(4)[:, None] / 100)
    assert test is not None
    assert test.mean_ranks.tolist() == [1, 2, 3]
    assert test.statistic == pytest.approx(8)
    assert test.p == pytest.approx(np.exp(-4))


def test_critical_difference_matches_the_printed_table_of_q() -> None:
    # Demsar (2006), Table 5a, and his example of four classifiers on 14 data sets.
    q = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 6: 2.850, 7: 2.949, 8: 3.031, 9: 3.102}
    for k, value in q.items():
        scale = (k * (k + 1) / (6 * 14)) ** 0.5
        assert critical_difference(k, 14) / scale == pytest.approx(value, abs=2e-3)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.01)


def test_nemenyi_p_is_five_percent_at_the_critical_difference() -> None:
    apart = critical_difference(4, 14)
    p = nemenyi(np.array([2.0, 2.0 + apart, 2.0, 2.0]), 14)
    assert [tuple(pair) for pair in pairs(4)][:2] == [(0, 1), (0, 2)]
    assert p[0] == pytest.approx(0.05, abs=1e-6)
    assert p[1] == pytest.approx(1.0)


# Area under the curve of C4.5 and three variants on 14 data sets: Demsar (2006), table 6.
C45 = np.array([
    (.763, .768, .771, .798), (.599, .591, .590, .569), (.954, .971, .968, .967),
    (.628, .661, .654, .657), (.882, .888, .886, .898), (.936, .931, .916, .931),
    (.661, .668, .609, .685), (.583, .583, .563, .625), (.775, .838, .866, .875),
    (1, 1, 1, 1), (.940, .962, .965, .962), (.619, .666, .614, .669),
    (.972, .981, .975, .975), (.957, .978, .946, .970),
])  # fmt: skip


def test_nemenyi_p_is_that_of_scikit_posthocs() -> None:
    test = friedman(C45)
    assert test is not None
    # posthoc_nemenyi_friedman of scikit-posthocs 0.17.1 on the same numbers.
    theirs = [0.088673, 0.971686, 0.061683, 0.226697, 0.998882, 0.170052]
    assert nemenyi(test.mean_ranks, len(C45)) == pytest.approx(theirs, abs=1e-6)


def test_nemenyi_of_equal_ranks_is_one() -> None:
    assert nemenyi(np.full(3, 2.0), 1).tolist() == [1, 1, 1]


def test_wilcoxon_of_all_gains_on_eight_data_sets_is_two_in_256() -> None:
    gains = np.column_stack([np.arange(1.0, 9.0), np.zeros(8)])
    assert wilcoxon(gains)[0] == pytest.approx(2 / 2**8)


def test_wilcoxon_abstains_below_six_data_sets() -> None:
    assert np.isnan(wilcoxon(np.array([[1.0, 0.0]] * 5))).all()


def test_wilcoxon_of_equal_columns_is_one() -> None:
    assert wilcoxon(np.ones((8, 2))).tolist() == [1.0]


def test_holm_steps_down() -> None:
    # Sorted .01 .03 .04 times 3, 2, 1 is .03 .06 .04; made monotone: .03 .06 .06.
    assert holm(np.array([0.03, 0.01, 0.04])) == pytest.approx([0.06, 0.03, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_p_and_bonferroni(values: list[float]) -> None:
    p = np.array(values)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.clip(len(p) * p, 0, 1) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_friedman_needs_three_defenses_and_two_data_sets() -> None:
    assert friedman(np.ones((5, 2))) is None
    assert friedman(np.ones((1, 4))) is None
    test = friedman(np.ones((5, 3)))
    assert test is not None
    assert test.p == 1.0


def test_binomial_interval_is_wilsons() -> None:
    # Wilson's interval for 10 of 100 at 95%: (0.0552, 0.1744), Brown, Cai and DasGupta (2001).
    low, high = binomial_interval(np.array([0.1, 0.0, 1.0]), np.array([100, 100, 100]))
    assert (low[0], high[0]) == pytest.approx((0.0552, 0.1744), abs=5e-5)
    assert (low[1], high[2]) == pytest.approx((0, 1), abs=1e-12)


def test_bootstrap_interval_is_repeatable_and_holds_the_mean() -> None:
    values = np.random.default_rng(1).normal(3, 1, (40, 2))
    low, high = bootstrap_interval(values)
    assert (low < values.mean(axis=0)).all()
    assert (high > values.mean(axis=0)).all()
    # The width is near that of the normal interval, 2 x 1.96 standard errors.
    expected = 3.92 * values.std(axis=0) / 40**0.5
    assert high - low == pytest.approx(expected, rel=0.1)
    assert np.array_equal(low, bootstrap_interval(values)[0])


def test_bootstrap_of_equal_values_has_no_width() -> None:
    low, high = bootstrap_interval(np.full((7,), 2.5))
    assert (float(low), float(high)) == pytest.approx((2.5, 2.5))


@pytest.mark.parametrize("ranks", [dense_ranks, average_ranks])
def test_what_is_missing_has_no_rank_and_takes_none(ranks) -> None:  # type: ignore[no-untyped-def]
    found = ranks(np.array([[0.9, nan, 0.2, 0.9], [nan, nan, nan, nan]]))
    tied = 1.0 if ranks is dense_ranks else 1.5
    last = 2.0 if ranks is dense_ranks else 3.0
    assert found[0] == pytest.approx([tied, nan, last, tied], nan_ok=True)
    assert np.isnan(found[1]).all()


@given(blocks_of(4, 5))
def test_average_ranks_are_scipys(scores: np.ndarray) -> None:
    assert np.array_equal(average_ranks(scores), scipy.stats.rankdata(-scores, axis=1))


@given(blocks_of(6, 4))
def test_friedman_is_scipys_with_its_correction_for_ties(scores: np.ndarray) -> None:
    test = friedman(scores)
    assert test is not None
    if (scores == scores[:, :1]).all():
        assert (test.statistic, test.p, test.corrected, test.corrected_p) == (0, 1, 0, 1)
        return
    theirs = scipy.stats.friedmanchisquare(*scores.T)
    assert test.statistic == pytest.approx(theirs.statistic, abs=1e-9)
    assert test.p == pytest.approx(max(theirs.pvalue, posthoc._least_p(average_ranks(scores))))


@given(blocks_of(5, 4))
def test_iman_and_davenports_f_is_that_of_ranks_in_a_two_way_layout(scores: np.ndarray) -> None:
    # F of treatments over the residual of ranks; rank sums of blocks are all equal.
    ranks = scipy.stats.rankdata(-scores, axis=1)
    n, k = ranks.shape
    between = n * ((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum() / (k - 1)
    within = ((ranks - ranks.mean(axis=0)) ** 2).sum()
    blocks = k * ((ranks.mean(axis=1) - (k + 1) / 2) ** 2).sum()
    residual = (within - blocks) / ((k - 1) * (n - 1))
    test = friedman(scores)
    assert test is not None
    if residual > 1e-12:
        assert test.corrected == pytest.approx(between / residual, abs=1e-9)
        freely = scipy.stats.f.sf(between / residual, k - 1, (k - 1) * (n - 1))
        assert test.corrected_p >= freely * (1 - 1e-6)


def test_iman_davenport_of_demsars_example() -> None:
    # Demsar (2006), section 3.2.2: chi2 9.28 of four classifiers on 14 data sets is F 3.69.
    assert posthoc._iman_davenport(9.28, 14, 4)[0] == pytest.approx(3.69, abs=5e-3)


@pytest.mark.parametrize(("n", "k"), [(2, 3), (3, 3), (4, 3), (2, 6)])
def test_no_p_of_like_rankings_is_below_their_chance(n: int, k: int) -> None:
    # Given the first block's ranking, each further block has it by chance 1 / k!.
    test = friedman(np.arange(float(k)) + np.zeros((n, 1)))
    assert test is not None
    orders = len([*permutations(range(k))])
    assert test.corrected == np.inf
    assert test.corrected_p == pytest.approx(orders ** (1.0 - n))
    assert test.p >= test.corrected_p * (1 - 1e-9)


# What wears people out least: nine people, four ways of assembling; Skillings and Mack (1981).
# R's Skillings.Mack 1.10 says 15.493, p 0.00144.
ASSEMBLY = [
    (3.2, 4.1, 3.8, 4.2), (3.1, 3.9, 3.4, 4.0), (4.3, 3.5, 4.6, 4.8), (3.5, 3.6, 3.9, 4.0),
    (3.6, 4.2, 3.7, 3.9), (4.5, 4.7, 3.7, nan), (nan, 4.2, 3.4, nan), (4.3, 4.6, 4.4, 4.9),
    (3.5, nan, 3.7, 3.9),
]  # fmt: skip
# Brady (1969) in Hollander and Wolfe (1999), example 7.8; R's PMCMRplus says 13.28095.
RHYTHM = [(3, 5, 15), (1, 3, 18), (5, 4, 21), (2, nan, 6), (0, 2, 17), (0, 2, 10), (0, 3, 8),
          (0, 2, 13)]  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "statistic", "p"),
    [(ASSEMBLY, 15.493, 0.00144), (RHYTHM, 13.28095, 0.001306405)],
    ids=["assembly", "rhythm"],
)
def test_skillings_mack_is_the_published_one(
    scores: list[tuple[float, ...]], statistic: float, p: float
) -> None:
    test = friedman(np.array(scores, dtype=float))
    assert test is not None
    assert test.statistic == pytest.approx(statistic, rel=5e-5)
    assert test.p == pytest.approx(p, rel=2e-3)
    assert np.isnan(test.corrected_p)


def test_skillings_mack_averages_its_degrees_of_freedom_over_all_permutations() -> None:
    # The mean of A' C^- A is the rank of C where C is the covariance of A, with ties too.
    blocks = [(1.0, 2.0, 2.0), (nan, 1.0, 2.0), (1.0, 2.0, 3.0)]
    arrangements = []
    for block in blocks:
        there = [i for i, value in enumerate(block) if value == value]
        rows = []
        for order in permutations([block[i] for i in there]):
            row = [nan] * 3
            for i, value in zip(there, order, strict=True):
                row[i] = value
            rows.append(row)
        arrangements.append(rows)
    ranks = [average_ranks(np.array(rows)) for rows in product(*arrangements)]
    found = [posthoc._skillings_mack(r) for r in ranks]
    assert {freedom for _, freedom in found} == {2}
    assert np.mean([statistic for statistic, _ in found]) == pytest.approx(2)


def test_blocks_with_one_score_and_defenses_with_none_change_nothing() -> None:
    whole = np.array([[0.9, 0.5, 0.1], [0.8, 0.9, 0.2], [0.7, 0.6, 0.65]])
    more = np.vstack([np.column_stack([whole, np.full(3, nan)]), [[nan, 0.4, nan, nan]]])
    test, padded = friedman(whole), friedman(more)
    assert test is not None
    assert padded is not None
    assert padded.statistic == pytest.approx(test.statistic)
    assert padded.p == pytest.approx(test.p)
    assert np.isnan(padded.mean_ranks).tolist() == [False, False, False, True]


def test_nothing_but_missing_scores_allows_no_test() -> None:
    assert friedman(np.full((4, 3), nan)) is None
    assert friedman(np.empty((0, 3))) is None


def test_ties_hide_behind_no_rounding() -> None:
    exact = np.array([[0.3, 0.3, 0.1]] * 6)
    rounded = np.array([[0.1 + 0.2, 0.3, 0.1]] * 6)
    single = exact.astype(np.float32) + np.float32([1e-8, 0, 0])
    for scores in (rounded, single):
        found, wanted = friedman(scores), friedman(exact)
        assert found is not None
        assert wanted is not None
        assert found.mean_ranks.tolist() == wanted.mean_ranks.tolist() == [1.5, 1.5, 3]
        assert wilcoxon(scores).tolist() == wilcoxon(exact).tolist()


def by_enumeration(differences: np.ndarray) -> float:
    """All sign flips, one by one: twice the smaller tail of the sum of positive ranks."""
    ranks = scipy.stats.rankdata(np.abs(differences))
    half = ranks[differences == 0].sum() / 2
    moved = ranks[differences != 0]
    sums = np.array([half + np.dot(s, moved) for s in product([0, 1], repeat=len(moved))])
    seen = half + ranks[differences > 0].sum()
    tails = ((sums >= seen - 1e-9).mean(), (sums <= seen + 1e-9).mean())
    return float(min(1, 2 * min(tails)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 4), min_size=6, max_size=9))
def test_wilcoxon_with_zeros_and_ties_is_that_of_all_sign_flips(steps: list[int]) -> None:
    differences = np.array(steps) / 7
    (p,) = wilcoxon(np.column_stack([differences, np.zeros(len(steps))]))
    assert p == pytest.approx(by_enumeration(differences), rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-3, 4), min_size=6, max_size=8).filter(any))
def test_wilcoxon_with_zeros_and_ties_is_scipys_exact_one(steps: list[int]) -> None:
    differences = np.array(steps, dtype=float)
    (p,) = wilcoxon(np.column_stack([differences, np.zeros(len(steps))]))
    flips = scipy.stats.PermutationMethod(n_resamples=2**8)
    theirs = scipy.stats.wilcoxon(differences, zero_method="zsplit", method=flips)
    assert p == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize("n", [6, 12, 46, 50])
def test_wilcoxon_without_ties_is_scipys_exact_one(n: int) -> None:
    differences = (
        np.random.default_rng(n).permutation(np.arange(1.0, n + 1)) - 0.371 * n
    )  # no ties
    (p,) = wilcoxon(np.column_stack([differences, np.zeros(n)]))
    assert p == pytest.approx(scipy.stats.wilcoxon(differences, method="exact").pvalue, rel=1e-9)


def test_wilcoxon_beyond_its_exact_sizes_goes_on_as_before() -> None:
    differences = np.random.default_rng(3).normal(0.1, 1, posthoc.EXACT + 1).round(1)
    exact = posthoc._signed_rank_p(differences[:-1])
    limit = posthoc._signed_rank_p(differences)
    assert limit == pytest.approx(exact, rel=0.1)
    theirs = scipy.stats.wilcoxon(differences[differences != 0], correction=False).pvalue
    assert limit == pytest.approx(theirs, rel=0.05)


def test_wilcoxon_leaves_out_the_blocks_that_a_pair_lacks() -> None:
    scores = np.column_stack([np.arange(1.0, 9.0), np.zeros(8), np.zeros(8)])
    holed = scores.copy()
    holed[7, 0], holed[:3, 2] = nan, nan
    assert wilcoxon(holed)[0] == pytest.approx(wilcoxon(scores[:7])[0]) == pytest.approx(2 / 2**7)
    assert np.isnan(wilcoxon(holed)[1])  # four blocks are left


@pytest.mark.parametrize("shape", [(0, 3), (8, 1), (0, 0)])
def test_wilcoxon_of_nothing_is_nothing(shape: tuple[int, int]) -> None:
    p = wilcoxon(np.zeros(shape))
    assert np.isnan(p).all()
    assert len(p) == shape[1] * (shape[1] - 1) // 2


def test_holm_counts_only_the_tests_there_are() -> None:
    # Two tests: .01 times 2 and .04 times 1.
    assert holm(np.array([nan, 0.04, 0.01, nan])) == pytest.approx(
        [nan, 0.04, 0.02, nan], nan_ok=True
    )
    assert holm(np.array([])).tolist() == []
    assert np.isnan(holm(np.array([nan, nan]))).all()
