"""Tests on ranks and intervals, against printed tables and worked examples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.posthoc import critical_difference, friedman, holm, nemenyi, pairs, wilcoxon
from analysis.stats import binomial_interval, bootstrap_interval


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
