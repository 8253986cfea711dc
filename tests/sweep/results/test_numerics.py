"""Results that change under an unchanged numerics version would be pooled with older ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.training import optimizer
from sweep.results.schema import NUMERICS_VERSION
from tests.sweep.results import numerics

RECORDED = numerics.read(NUMERICS_VERSION)
HOW = "python -m tests.sweep.results.numerics"


@pytest.mark.parametrize("case", numerics.cases())
def test_results_are_those_of_this_numerics_version(case: str) -> None:
    assert case in RECORDED, f"no values of {case!r} yet; `{HOW}` adds them"
    if numerics.differ(RECORDED[case], numerics.values(case)):
        pytest.fail(
            f"{case!r} gives other results than numerics version {NUMERICS_VERSION} recorded: "
            f"raise NUMERICS_VERSION in sweep/results/schema.py and run `{HOW}`, or mend what "
            "changed them"
        )


def test_small_change_of_training_is_told_from_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizer, "EPS", optimizer.EPS * 1.001)
    case = "train nominal mlp-2x6"
    assert numerics.differ(RECORDED[case], numerics.values(case))


def test_difference_is_more_than_rounding_or_another_length() -> None:
    assert not numerics.differ([1.0, 300.0], [1.0 + 1e-13, 300.0 + 1e-10])
    assert numerics.differ([1.0, 2.0], [1.0, 2.0 + 1e-8])
    assert numerics.differ([1.0], [1.0, 2.0])
    assert numerics.differ([1.0], [float("nan")])


def test_recorded_values_of_a_version_are_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numerics, "FOLDER", tmp_path)
    monkeypatch.setattr(numerics, "cases", lambda: ["old", "new"])
    monkeypatch.setattr(numerics, "values", lambda case: [3.0])
    numerics.write(NUMERICS_VERSION, {"old": [1.0]})
    assert numerics.main() == 0
    assert numerics.read(NUMERICS_VERSION) == {"old": [1.0], "new": [3.0]}
