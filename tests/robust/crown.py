"""CROWN (Zhang et al. 2018), plainly: one network, one input, numpy, any Lp ball.

The bounds of every hidden layer's pre-activations come from the same backward substitution.
For a unit with l < 0 < u the upper line is u (z - l) / (u - l); the lower line is a z, with
a = u / (u - l) ("same-slope", which is the dual network of Wong and Kolter) or a = 1 where
u > -l and 0 elsewhere ("adaptive"). A unit that interval bounds, from those of the layer before,
show to be linear keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
DUAL_ORDER = {"l1": np.inf, "l2": 2, "linf": 1}


def upper_bounds(
    weights: Sequence[Array],
    biases: Sequence[Array],
    x: Array,
    forms: Array,
    radius: float,
    order: str,
    slope: str,
) -> Array:
    """Return upper bounds of forms @ z_L over the ball around x.

    Args:
        weights, biases: over layers, [in, out] and [out].
        x: [D].
        forms: linear forms of the logits, [U, K].
        radius: true radius.
        order: norm of the ball.
        slope: adaptive or same-slope.
    """
    lines: list[tuple[Array, Array, Array]] = []  # lower slope, upper slope, upper intercept
    low = high = np.zeros(0)
    for depth in range(1, len(weights)):
        units = np.eye(weights[depth - 1].shape[1])
        part = weights[:depth], biases[:depth]
        wide = interval(weights[depth - 1], biases[depth - 1], low, high) if depth > 1 else None
        high = _backward(*part, x, units, lines, radius, order)
        low = -_backward(*part, x, -units, lines, radius, order)
        if wide is not None:
            low, high = where_linear(wide, (low, high))
        lines.append(_relax(low, high, slope))
    return _backward(weights, biases, x, forms, lines, radius, order)


def interval(weight: Array, bias: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Return bounds of the units after a ReLU and an affine layer, of units within bounds."""
    low, high = np.maximum(low, 0), np.maximum(high, 0)
    up, down = np.maximum(weight, 0), np.minimum(weight, 0)
    return low @ up + high @ down + bias, high @ up + low @ down + bias


def where_linear(wide: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return the wide bounds of units that they show to be linear, and other bounds elsewhere."""
    linear = (wide[0] >= 0) | (wide[1] <= 0)
    return np.where(linear, wide[0], other[0]), np.where(linear, wide[1], other[1])


def _relax(low: Array, high: Array, slope: str) -> tuple[Array, Array, Array]:
    crosses = (low < 0) & (high > 0)
    ratio = np.where(crosses, high / np.where(crosses, high - low, 1), low >= 0)
    below = ratio if slope == "same-slope" else np.where(crosses, high > -low, low >= 0)
    return below.astype(float), ratio.astype(float), np.where(crosses, -ratio * low, 0.0)


def _backward(
    weights: Sequence[Array],
    biases: Sequence[Array],
    x: Array,
    forms: Array,
    lines: Sequence[tuple[Array, Array, Array]],
    radius: float,
    order: str,
) -> Array:
    constant = np.zeros(len(forms))
    for depth in range(len(weights) - 1, -1, -1):
        constant = constant + forms @ biases[depth]
        forms = forms @ weights[depth].T
        if depth:
            below, above, intercept = lines[depth - 1]
            up, down = np.maximum(forms, 0), np.minimum(forms, 0)
            constant = constant + up @ intercept
            forms = up * above + down * below
    return constant + forms @ x + radius * np.linalg.norm(forms, ord=DUAL_ORDER[order], axis=1)
