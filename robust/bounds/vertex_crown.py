"""Vertex-CROWN: CROWN that keeps the first layer's ReLUs, exact over the L1 ball.

A linear form a of the first layer's activations, with c = [a]^+ and the lower slope alpha of each
unit, is at most
    c'[z_1]^+ - [-a]^+'(alpha z_1) = a'(alpha z_1) + c'([z_1]^+ - alpha z_1)
(equal to it where a unit is linear). Both [z]^+ - alpha z and z_1 are convex in the perturbation,
so the sum is largest at one of the 2D vertices of the L1 ball: all are tried. CROWN puts the chord
in for [z]^+, which lies above it; so with the same slopes and the same lines of later layers this
bound is never above CROWN's. With one hidden layer and RUB's slopes it is RUB's.

The units of layers 2 to L-1 are bounded by the same rule. Only the worst vertex of each form
carries gradient.

Legend: P networks in the pack (p in a chunk), B batch (b in a chunk), U linear forms, V = 2D
vertices, D input features, H hidden units, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.lines import Lines
from robust.bounds.substitution import Part, bounds_of
from robust.networks.mlp import MLP


def finish(part: Part, first: Lines, forms: Tensor) -> Tensor:
    """Return bounds of forms of the first layer's activations at their worst vertex, [p, b, U]."""
    with torch.no_grad():
        found, worst = values(part, first, forms).max(dim=3)
    if not (torch.is_grad_enabled() and forms.requires_grad):
        return found
    return value_at(part, first, forms, worst)


def values(part: Part, first: Lines, forms: Tensor) -> Tensor:
    """Return the bound of forms, [p, b, U, H] or [p, 1, U, H], at every vertex, [p, b, U, V]."""
    z, step = part.hidden[0], part.ball.radius[..., None, None] * part.steps.unsqueeze(1)
    lower = first.lower.unsqueeze(2)
    sloped = forms * lower  # [p, b, U, H]
    moved = torch.bmm(sloped.flatten(1, 2), part.steps.mT).view(*sloped.shape[:3], -1)
    moved = moved * part.ball.radius[..., None, None]  # [p, b, U, D]
    at_x = torch.matmul(sloped, z.unsqueeze(3))
    corners = torch.cat([z.unsqueeze(2) + step, z.unsqueeze(2) - step], dim=2)  # [p, b, V, H]
    bump = torch.relu(corners) - lower * corners
    both = torch.cat([moved, -moved], dim=3).add_(at_x)
    return both.add_(torch.matmul(torch.relu(forms), bump.mT))


def value_at(part: Part, first: Lines, forms: Tensor, vertices: Tensor) -> Tensor:
    """Return the bound of each form at one vertex, with gradient.

    Args:
        part: some networks at some examples.
        first: the first layer's lines.
        forms: [p, b, U, H] or [p, 1, U, H].
        vertices: in 0..2D-1, +step of feature v, then -step of feature v - D, [p, b, U].

    Returns:
        [p, b, U].
    """
    features = part.steps.shape[1]
    sign = torch.where(vertices < features, 1.0, -1.0).to(forms.dtype)
    rows = torch.stack(
        [own[index] for own, index in zip(part.steps, vertices % features, strict=True)]
    )
    signed = (sign * part.ball.radius.unsqueeze(2)).unsqueeze(3)
    corner = part.hidden[0].unsqueeze(2) + signed * rows  # [p, b, U, H]
    lower = first.lower.unsqueeze(2)
    towards = torch.relu(forms)
    return (towards * torch.relu(corner) + (forms - towards) * (lower * corner)).sum(dim=3)


def worst_case_differences(
    net: MLP, x: Tensor, y: Tensor, ball: Ball, rule: str = "adaptive"
) -> tuple[Tensor, Tensor]:
    """Return vertex-CROWN's bounds of max z_k - z_y over L1 balls, and what rounding may take.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: L1 balls around the inputs, with or without costs.
        rule: for lower slopes, one of `lines.SLOPES`.

    Returns:
        Two tensors [P, B, K-1], classes k != y in increasing order; the first differentiable in
        the parameters.
    """
    assert ball.norm == "l1", ball.norm
    return bounds_of(net, x, y, ball, finish, rule, vertices=2 * net.num_features)
