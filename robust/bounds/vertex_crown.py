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
from robust.bounds.parts import Part
from robust.bounds.substitution import Layer, bounds_of
from robust.networks.mlp import MLP


def finish(part: Part, first: Layer, forms: Tensor) -> Tensor:
    """Return bounds of forms of the first layer's activations at their worst vertex, [p, b, U]."""
    if not (torch.is_grad_enabled() and forms.requires_grad):
        plus, minus, at_x = values(part, first, forms)
        return torch.maximum(plus.amax(dim=3), minus.amax(dim=3)) + at_x
    return value_at(part, first, forms, search(part, first, forms)[1])


@torch.no_grad()
def search(part: Part, first: Layer, forms: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest bound of each form over the vertices, and at which, [p, b, U] each.

    Args:
        part: some networks at some examples.
        first: the first hidden layer.
        forms: [p, b, U, N] or [p, 1, U, N].

    Returns:
        Bounds, and vertices in 0..2D-1: +step of feature v, then -step of feature v - D.
    """
    plus, minus, at_x = values(part, first, forms)
    found, worst = torch.cat([plus, minus], dim=3).max(dim=3)
    return found + at_x, worst


def values(part: Part, first: Layer, forms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the bound of forms at every vertex: after + and - each step, and what both add.

    Args:
        part: some networks at some examples.
        first: the first hidden layer.
        forms: [p, b, U, N] or [p, 1, U, N].

    Returns:
        Two tensors [p, b, U, D], and one [p, b, U] to be added to both.
    """
    sloped = torch.matmul(forms, first.line)
    towards = torch.relu(forms[..., : first.bent])
    towards = towards.expand(-1, sloped.shape[1], -1, -1).flatten(0, 1)
    radius = part.ball.radius[..., None, None]
    moved = (sloped[..., :-1] * radius).flatten(0, 1)
    step = first.step[..., :-1] * radius
    plus = torch.baddbmm(moved, towards, _bump(first, step).flatten(0, 1))
    minus = torch.baddbmm(moved, towards, _bump(first, -step).flatten(0, 1), beta=-1)
    shape = *sloped.shape[:3], step.shape[3]
    return plus.view(shape), minus.view(shape), sloped[..., -1]


def _bump(first: Layer, step: Tensor) -> Tensor:
    """Return [z]^+ - lower z of the units that are not linear, after steps, [p, b, bent, D]."""
    corner = first.step[..., -1:] + step
    return torch.relu(corner) - first.own.lower.unsqueeze(3) * corner


def value_at(part: Part, first: Layer, forms: Tensor, vertices: Tensor) -> Tensor:
    """Return the bound of each form at one vertex, with gradient.

    Args:
        part: some networks at some examples.
        first: the first hidden layer.
        forms: [p, b, U, N] or [p, 1, U, N].
        vertices: as `search` returns them, [p, b, U].

    Returns:
        [p, b, U].
    """
    features = part.steps.shape[1]
    sign = torch.where(vertices < features, 1.0, -1.0).to(forms.dtype)
    feature = (vertices % features).unsqueeze(3)
    signed = sign * part.ball.radius.unsqueeze(2)
    sloped = torch.matmul(forms, first.line)
    moved = sloped.gather(3, feature).squeeze(3)
    rows = first.step[..., :-1].mT  # [p, b, D, bent]
    rows = rows.gather(2, feature.expand(-1, -1, -1, rows.shape[3]))
    corner = first.step[..., -1].unsqueeze(2) + signed.unsqueeze(3) * rows  # [p, b, U, bent]
    bump = torch.relu(corner) - first.own.lower.unsqueeze(2) * corner
    towards = torch.relu(forms[..., : first.bent])
    return sloped[..., -1] + signed * moved + (towards * bump).sum(dim=3)


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
