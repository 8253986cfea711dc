"""Columns of a data frame as features."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

from robust.frames import features_of, numbers

COLUMNS = {"b": [1.5, None], "extra": ["x", "y"], "kind": ["2", None], "a": [True, False]}
NAMES = ["a", "kind=2", "kind=3", "b"]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_columns_are_taken_by_name_and_missing_values_are_nan(make: type) -> None:
    found = features_of(make(COLUMNS), NAMES)
    np.testing.assert_array_equal(found, [[1, 1, 0, 1.5], [0, np.nan, np.nan, np.nan]])


def test_category_that_is_a_number_is_the_same_written_with_a_point() -> None:
    frame = pd.DataFrame({"kind": [2.0, 3.0, np.nan], "other": [2, 3, 4]})
    known = (("kind", ("2", "3")),)
    found = features_of(frame, ["kind=2", "other=4"], known)
    np.testing.assert_array_equal(found, [[1, 0], [0, 0], [np.nan, 1]])


def test_encoded_column_comes_before_a_category() -> None:
    frame = pd.DataFrame({"kind": ["2"], "kind=2": [0.25]})
    assert features_of(frame, ["kind=2"]).tolist() == [[0.25]]


def test_foreign_category_and_absent_column_are_named() -> None:
    frame = pd.DataFrame({"kind": ["2", "5"]})
    with pytest.raises(ValueError, match="'kind' holds '5', which no row had in training; known"):
        features_of(frame, ["kind=2"], (("kind", ("2", "3")),))
    with pytest.raises(ValueError, match="no column 'far'; columns: kind"):
        features_of(frame, ["far"])


def test_text_that_is_a_number_is_one_and_other_text_is_named() -> None:
    column = pd.Series(["1", " 2.5 ", None, pd.NA], dtype=object)
    np.testing.assert_array_equal(numbers(column, "a"), [1, 2.5, np.nan, np.nan])
    with pytest.raises(ValueError, match="column 'a' holds 'x', not a number"):
        numbers(["1", "x"], "a")
