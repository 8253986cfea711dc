"""Which numbers float32 holds, by NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest

from sweep.limits import LARGEST, LARGEST_INT, SMALLEST, out_of_range


def test_limits_are_those_of_the_types() -> None:
    assert float(np.finfo(np.float32).tiny) == SMALLEST
    assert float(np.finfo(np.float32).max) == LARGEST
    assert np.iinfo(np.int64).max == LARGEST_INT


@pytest.mark.parametrize("value", [0.0, SMALLEST, 1.0, LARGEST])
def test_number_that_float32_holds_is_in_range(value: float) -> None:
    assert out_of_range(value) is None


@pytest.mark.parametrize("value", [SMALLEST / 2, LARGEST * 2, float("inf")])
def test_number_that_float32_does_not_hold_is_told_with_what_is_allowed(value: float) -> None:
    assert "allowed are 0 and 1.2e-38 to 3.4e+38" in str(out_of_range(value))
