"""Intervals at small n: how often they hold the mean, and where there is none."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from analysis.statistics import binomial_interval, bootstrap_interval, mean_interval
from benchmarks.coverage import INTERVALS, coverage, main


@pytest.mark.parametrize("n", [0, 1])
def test_intervals_of_one_value_or_none_have_no_bounds(n: int) -> None:
    values = np.full((n, 2), 0.5)
    mean, low, high = mean_interval(values)
    assert mean.tolist() == ([0.5, 0.5] if n else pytest.approx([nan, nan], nan_ok=True))
    assert np.isnan([low, high, *bootstrap_interval(values)]).all()


def test_binomial_interval_of_no_trial_has_no_bounds() -> None:
    low, high = binomial_interval(np.array([nan, 0.5]), np.array([0, 4]))
    assert np.isnan([low[0], high[0]]).all()
    assert 0 < low[1] < 0.5 < high[1] < 1


# Of 2,000 samples, 2 points are over four standard errors at 95%.
@pytest.mark.parametrize("n", [4, 12, 46])
@pytest.mark.parametrize(("law", "least"), [("normal", 0.93), ("exponential", 0.92)])
def test_bootstrap_interval_holds_the_mean_as_often_as_it_says(
    law: str, least: float, n: int
) -> None:
    assert coverage("wider of t and bootstrap-t", law, n, samples=2000) > least


def test_coverage_tells_an_interval_that_is_too_narrow() -> None:
    assert coverage("percentile bootstrap", "normal", 4, samples=2000) < 0.85


@pytest.mark.parametrize("samples", ["0", "-3", "many", "1.5"])
def test_coverage_refuses_what_is_no_number_of_samples(
    samples: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"samples={samples}"]) == 2
    assert samples in capsys.readouterr().err


def test_coverage_prints_every_interval(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples=3"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in INTERVALS)


@pytest.mark.parametrize("ties", [(2.0, 2, 2, 3), (1.0, 1, 1, 1), (1.0, 1, 2, 2)])
def test_interval_of_tied_values_is_finite_and_no_narrower_than_students(
    ties: tuple[float, ...],
) -> None:
    values = np.array(ties)
    _, t_low, t_high = mean_interval(values)
    low, high = bootstrap_interval(values)
    assert np.isfinite([low, high]).all()
    assert low <= t_low
    assert t_high <= high


def test_intervals_of_float32_are_those_of_float64() -> None:
    values = np.array([0.25, 0.5, 0.75, 0.125])
    for interval in (mean_interval, bootstrap_interval):
        narrow, wide = (np.array(interval(v)) for v in (values.astype(np.float32), values))
        assert np.array_equal(narrow, wide)


def test_interval_of_very_many_values_is_students() -> None:
    values = np.random.default_rng(0).exponential(size=100_000)
    _, low, high = mean_interval(values)
    assert bootstrap_interval(values) == (low, high)
