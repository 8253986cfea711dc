"""Interval bounds (Gowal et al. 2018) in any norm, for packs of multi-layer perceptrons.

The first layer's units are bounded exactly, centre z_1 and half-width rho ||step||_q; then an
affine layer takes the centre to W'c + b and the half-width to |W|'h, and ReLU rectifies both ends.

Legend: P networks in the pack, B batch, H hidden units, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.parts import Part, parts
from robust.networks.mlp import MLP


def worst_case_differences(net: MLP, x: Tensor, y: Tensor, ball: Ball) -> tuple[Tensor, Tensor]:
    """Return interval bounds of max z_k - z_y over the ball, and what rounding may have taken.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: around the inputs, in any norm.

    Returns:
        Two tensors [P, B, K-1], classes k != y in increasing order; the first differentiable in
        the parameters.
    """
    upper = x.new_empty(*ball.radius.shape, net.num_classes - 1)
    slack = torch.empty_like(upper)
    for at, part in parts(net, x, y, ball):
        upper[at], slack[at] = _bounds(part)
    return upper, slack


def _bounds(part: Part) -> tuple[Tensor, Tensor]:
    low, high = hidden_ranges(part)[-1]
    centre, half = rectified(low, high)
    rows = part.last.weight
    upper = torch.matmul(rows, centre.unsqueeze(3)).squeeze(3) + part.last.bias
    upper = upper + torch.matmul(rows.abs(), half.unsqueeze(3)).squeeze(3)
    size = (centre.abs() + half).detach().unsqueeze(3)
    mass = torch.matmul(rows.detach().abs(), size).squeeze(3) + part.last.bias.detach().abs()
    return upper, part.slack(mass + part.vanishing)


def hidden_ranges(part: Part) -> list[tuple[Tensor, Tensor]]:
    """Return bounds of the units of each hidden layer, moved outward, [p, b, H] each."""
    centre, half = part.hidden[0], part.ball.reach(part.steps.mT.unsqueeze(1))
    slack = part.margin(part.mass)
    ranges = [(centre - half - slack, centre + half + slack)]
    for depth in range(1, len(part.weights)):
        ranges.append(next_range(part, depth, *ranges[-1]))
    return ranges


def next_range(part: Part, depth: int, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return bounds of the units of a hidden layer from those of the layer before.

    Args:
        part: some networks at some examples.
        depth: of the layer, from 1.
        low, high: l and u of the layer before, [p, b, H].

    Returns:
        Bounds moved outward, [p, b, H] each.
    """
    before, width = rectified(low, high)
    weight, bias = part.weights[depth], part.biases[depth]
    centre = torch.baddbmm(bias.unsqueeze(1), before, weight)
    half = torch.bmm(width, part.sizes[depth])
    slack = part.margin(part.next_mass(depth, before + width)) if part.outward else 0.0
    return centre - half - slack, centre + half + slack


def rectified(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return centre and half-width of [z]^+ for l <= z <= u."""
    low, high = torch.relu(low), torch.relu(high)
    return (low + high) / 2, (high - low) / 2
