"""Interval and CROWN-IBP bounds (Gowal et al. 2018; Zhang et al. 2020), plainly.

One network, one input, one unit after the other; float64 tensors, so that gradients flow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Ends = tuple[list[Tensor], list[Tensor]]


def hidden_ends(
    weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor, radius: float
) -> list[Ends]:
    """Return the lowest and highest values of the units of each hidden layer, before ReLU.

    Args:
        weights, biases: over layers, [in, out] and [out].
        x: [D].
        radius: of the Linf ball.
    """
    low, high = [v - radius for v in x], [v + radius for v in x]
    found: list[Ends] = []
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        ends = [form_ends(weight[:, j], bias[j], low, high) for j in range(weight.shape[1])]
        found.append(([e[0] for e in ends], [e[1] for e in ends]))
        low, high = [e[0].clamp_min(0) for e in ends], [e[1].clamp_min(0) for e in ends]
    return found


def form_ends(
    row: Tensor, shift: Tensor, low: Sequence[Tensor], high: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest value of row'h + shift on a box."""
    least, most = shift, shift
    for a, lo, hi in zip(row, low, high, strict=True):
        least = least + (a * lo if a > 0 else a * hi)
        most = most + (a * hi if a > 0 else a * lo)
    return least, most


def interval_bound(
    weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor, y: int, k: int, radius: float
) -> Tensor:
    """Return the interval bound of z_k - z_y, the last layer merged with the difference."""
    low, high = hidden_ends(weights, biases, x, radius)[-1]
    row = weights[-1][:, k] - weights[-1][:, y]
    shift = biases[-1][k] - biases[-1][y]
    return form_ends(row, shift, [v.clamp_min(0) for v in low], [v.clamp_min(0) for v in high])[1]


def crown_ibp_bound(
    weights: Sequence[Tensor], biases: Sequence[Tensor], x: Tensor, y: int, k: int, radius: float
) -> Tensor:
    """Return CROWN's bound of z_k - z_y with lines over interval boxes; adaptive lower slopes."""
    form = weights[-1][:, k] - weights[-1][:, y]
    constant = biases[-1][k] - biases[-1][y]
    ends = hidden_ends(weights, biases, x, radius)
    for weight, bias, (low, high) in zip(
        reversed(weights[:-1]), reversed(biases[:-1]), reversed(ends), strict=True
    ):
        sloped = []
        for a, lo, hi in zip(form, low, high, strict=True):
            if lo >= 0:
                sloped.append(a)
            elif hi <= 0:
                sloped.append(0 * a)
            elif a > 0:
                chord = hi / (hi - lo)
                constant = constant - a * chord * lo
                sloped.append(a * chord)
            else:
                sloped.append(a * (1.0 if hi > -lo else 0.0))
        at = torch.stack(sloped)
        constant = constant + at @ bias
        form = weight @ at
    return constant + form @ x + radius * form.abs().sum()
