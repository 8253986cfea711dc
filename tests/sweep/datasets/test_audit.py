"""The leak audit finds what it should, and only that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sweep.datasets.audit import audit, audit_duplicates, audit_features
from sweep.datasets.values import Indices, OneHot, RawData

GENERATOR = np.random.default_rng(0)
Y = np.arange(60) % 3
NOISE = GENERATOR.normal(size=(60, 4))
SHUFFLED_CODES = np.array([5.0, -1.0, 2.0])
SIX_VALUES = Y + 3.0 * (np.arange(60) // 3 % 2)  # 0..5; each value belongs to one class


def kinds(column: np.ndarray, y: np.ndarray = Y) -> dict[str, tuple[int, ...]]:
    findings = audit_features(np.column_stack([NOISE, column]), y)
    return {finding.kind: finding.columns for finding in findings}


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ((Y - Y.mean()) / Y.std(), "one-to-one"),
        (SHUFFLED_CODES[Y], "one-to-one"),
        (np.where(Y == 2, np.nan, Y), "one-to-one"),
        (Y + GENERATOR.uniform(0, 0.5, 60), "stump"),
        (SIX_VALUES, "determines"),
        (np.full(60, 3.0), "constant"),
        (np.full(60, np.nan), "constant"),
        (np.arange(60.0), "id-like"),
        (GENERATOR.permutation(60) * 0.25 - 3, "id-like"),
        (1000 + np.delete(GENERATOR.permutation(62), [7, 30]), "id-like"),
        (np.where(np.arange(60) < 3, 60, np.arange(60)), "id-like"),
        (np.where(np.arange(60) == 3, np.nan, np.arange(60)), "id-like"),
    ],
    ids=[
        *("standardised label", "recoded label", "missing marks a class", "thresholds"),
        *("each value one class", "constant", "all missing", "row number", "shuffled numbers"),
        *("some numbers left out", "a number three times", "a number missing"),
    ],
)
def test_audit_finds(column: np.ndarray, kind: str) -> None:
    assert kinds(column) == {kind: (4,)}


def test_stump_of_two_classes_is_found() -> None:
    y = np.arange(60) % 2
    assert kinds(np.where(y == 1, 1.0, -1.0) * GENERATOR.uniform(0.1, 1, 60), y) == {"stump": (4,)}


def test_one_exception_is_no_leak() -> None:
    column = Y.astype(float)
    column[0] = 1.0
    assert kinds(column) == {}


def test_noise_is_no_finding() -> None:
    assert audit_features(NOISE, Y) == []


def test_whole_numbers_that_leave_many_out_do_not_number_the_rows() -> None:
    assert kinds(GENERATOR.permutation(600)[:60].astype(float)) == {}
    assert kinds(GENERATOR.permutation(60) // 2.0) == {}


def test_categories_are_examined_as_the_column_that_they_were() -> None:
    places = np.array(["north", "south", "east", "west"])[np.arange(60) % 4]
    inputs = np.array([places == place for place in sorted(set(places))], dtype=float).T
    group = OneHot("place", tuple(sorted(set(places))), (1, 2, 3, 4))
    y = np.arange(60) % 2  # north and east are 0
    features = ("n", *(f"place={place}" for place in group.values))
    raw = RawData(np.column_stack([NOISE[:, 0], inputs]), y, ("a", "b"), features, groups=(group,))
    parts = Indices(np.arange(30), np.arange(30, 40), np.arange(40, 60))
    (finding,) = audit(raw, parts)
    assert finding.detail == "feature place: each of its values has one label"
    assert finding.columns == group.inputs
    assert audit(replace(raw, y=(np.arange(60) // 7) % 2), parts) == []


def test_leaks_are_found_in_every_chunk_of_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from sweep.datasets import audit

    monkeypatch.setattr(audit, "_CELLS", 120)  # two columns at a time
    x = np.column_stack([NOISE, Y, NOISE, Y])
    (finding,) = audit_features(x, Y)
    assert finding.columns == (4, 9)
    assert finding.is_leak


def test_names_are_used_and_long_lists_are_cut() -> None:
    (finding,) = audit_features(np.zeros((60, 8)), Y, [f"pixel{i}" for i in range(8)])
    assert "pixel4 and 3 more: constant" in finding.detail
    assert not finding.is_leak


def test_test_rows_that_are_training_rows_are_counted() -> None:
    x = GENERATOR.normal(size=(10, 2))
    x[8] = x[0]
    x[9] = [0.0, 1.0]
    x[1] = [-0.0, 1.0]
    indices = Indices(np.arange(6), np.array([6]), np.array([7, 8, 9]))
    (finding,) = audit_duplicates(x, indices)
    assert finding.detail.startswith("2 of 3 test rows")
    other = Indices(np.arange(6), np.array([8, 9]), np.array([6, 7]))
    (finding,) = audit_duplicates(x, other)
    assert finding.detail.startswith("2 of 2 validation rows")
    assert audit_duplicates(x, Indices(np.arange(2, 8), np.array([0]), np.array([1]))) == []
