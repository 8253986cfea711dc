"""The scaling that travels with a network: its two rules, and its text."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from robust.preprocessing import Preprocessing, unscaled

STANDARD = Preprocessing(
    "affine",
    (3,),
    ("no", "yes"),
    ("a", "b", "c"),
    unit=(2.0, 1.0, 10.0),
    centre=(0.5, 3.0, 0.1),
    deviation=(0.25, 0.0, 2.0),
)


def test_affine_rule_is_the_formula_column_by_column() -> None:
    raw = torch.tensor([[2.0, 5.0, 1.0], [1.0, 3.0, 41.0]])
    # (2/2 - .5)/.25, constant, (1/10 - .1)/2; (1/2 - .5)/.25, constant, (4.1 - .1)/2
    torch.testing.assert_close(
        STANDARD.layer()(raw), torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    )


def test_missing_value_becomes_the_training_mean() -> None:
    raw = torch.tensor([[math.nan, 1.0, 1.0]], dtype=torch.float64)
    assert STANDARD.layer()(raw)[0, 0] == 0


def test_scaling_is_computed_in_float64() -> None:
    # 1e8 and 1e8 + 1 differ by less than float32 holds.
    rule = Preprocessing("affine", (1,), centre=(1e8,), deviation=(1.0,))
    raw = torch.tensor([[1e8], [1e8 + 1]], dtype=torch.float64)
    assert rule.layer()(raw).flatten().tolist() == [0.0, 1.0]
    assert rule.layer()(raw).dtype == torch.float32
    assert rule.layer(torch.float64)(raw).dtype == torch.float64


def test_image_is_standardised_by_channel_as_numpy_does() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 3, 2)).astype(np.float64)
    images[0, :, :, 1] = 7.0  # constant
    found = Preprocessing("per-image", (4, 3, 2)).layer()(torch.tensor(images).flatten(1))
    wanted = np.zeros_like(images)
    for n in range(5):
        for c in range(2):
            own = images[n, :, :, c]
            if own.max() > own.min():
                wanted[n, :, :, c] = (own - own.mean()) / own.std()
    np.testing.assert_allclose(found.reshape(5, 4, 3, 2).numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize(
    "rule",
    [
        STANDARD,
        unscaled(4),
        Preprocessing("per-image", (2, 2, 1), ("0", "1"), bounds=(0.0, 1.0)),
        Preprocessing("affine", (2,), deviation=(1e-300, math.pi), unit=(1e300, 1 / 3)),
    ],
)
def test_text_holds_the_whole_value(rule: Preprocessing) -> None:
    assert Preprocessing.from_text(rule.to_text()) == rule


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rule": "affine"}', '{"rule": "x", "shape": [1]}', "null"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="preprocessing"):
        Preprocessing.from_text(text)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown preprocessing 'log'; known: affine, per-image"):
        Preprocessing("log", (1,))
    with pytest.raises(ValueError, match="2 names for 3 features"):
        Preprocessing("affine", (3,), features=("a", "b"))
    with pytest.raises(ValueError, match="centre must have 1 or 3 numbers, got 2"):
        Preprocessing("affine", (3,), centre=(0.0, 1.0))
    assert json.loads(unscaled(2).to_text())["shape"] == [2]
