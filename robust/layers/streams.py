"""RUB's recurrence: two streams carried through ReLU and affine layers.

Two functions of the perturbation are carried for every unit: u >= z and v >= -z (the g of Theorem
11 with r = 1 and r = -1). With s = [u]^+ and m = t v, 0 <= t <= 1, an affine layer W, b gives
    u' = [W]^+ s + [-W]^+ m + b,    v' = [-W]^+ s + [W]^+ m - b.
As [W]^+ = (|W| + W)/2 and [-W]^+ = (|W| - W)/2, both follow from two products, of the total s + m
and the gap s - m:
    excess = |W|(s + m)/2,  centre = W(s - m)/2 + b,  u' = centre + excess,  v' = excess - centre.
At the first layer u = z and v = -z: the excess is 0.

This is the form that any 0 <= t <= 1 and any kind of layer takes: `robust.layers` carries it
through any graph (`robust.bounds.rub.walk`). Three others exist for speed and are tested against
it: with the gradient written out (`rub.mlp.sum_and_difference`), in place at all vertices
(`rub.mlp_search.Search`), and of the changes that one pixel makes (`rub.cnn_search`).

Legend: P networks in the pack, V vertices, H hidden units, K classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Streams(NamedTuple):
    """Both functions of a layer's values: centre = (u - v)/2 and excess = (u + v)/2.

    An excess of None is 0: the values are affine in the perturbation, and u = z, v = -z.
    """

    centre: Tensor
    excess: Tensor | None


def sides(centre: Tensor, excess: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return u = centre + excess and v = excess - centre; None is an excess of 0."""
    if excess is None:
        return centre, -centre
    return centre + excess, excess - centre


def through_relu(centre: Tensor, excess: Tensor | None, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the total s + m and the gap s - m, with s = [u]^+ and m = t v.

    Args:
        centre: (u - v)/2, [..., H].
        excess: (u + v)/2, the same shape; None where it is 0.
        t: in [0, 1], broadcastable to them.
    """
    up, down = sides(centre, excess)
    s, m = torch.relu(up), t * down
    return s + m, s - m


def halves(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return W/2 and |W|/2."""
    return weight / 2, weight.abs() / 2


def through_affine(
    total: Tensor, gap: Tensor, half: Tensor, half_abs: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return centre and excess after an affine layer, each [P, ..., out].

    Args:
        total: s + m, [P, ..., in].
        gap: s - m, the same shape.
        half: W/2, [P, in, out].
        half_abs: |W|/2, the same shape.
        bias: b, [P, out]; None where it is 0.
    """
    shape = (*gap.shape[:-1], half.shape[2])
    total, gap = total.flatten(1, -2), gap.flatten(1, -2)
    excess = torch.bmm(total, half_abs).view(shape)
    if bias is None:
        return torch.bmm(gap, half).view(shape), excess
    return torch.baddbmm(bias.unsqueeze(1), gap, half).view(shape), excess


def through_last(total: Tensor, gap: Tensor, weight: Tensor) -> Tensor:
    """Return the bounds of the class differences without c_k'b_L, [..., V, K-1].

    Args:
        total: s + m, [..., V, H].
        gap: s - m, the same shape.
        weight: c_k'W_L, [..., K-1, H].
    """
    return (torch.matmul(total, weight.abs().mT) + torch.matmul(gap, weight.mT)) / 2
