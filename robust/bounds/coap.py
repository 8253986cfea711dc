"""COAP: the dual network bound of Wong and Kolter (2018), exact, for multi-layer perceptrons.

"Provable defenses against adversarial examples via the convex outer adversarial polytope". Each
ReLU with pre-activation bounds l < 0 < u is relaxed to its convex hull; on the dual's feasible
point with slope d = u / (u - l) below and above, d z <= [z]^+ <= d (z - l). Written for upper
bounds, a linear form a'[z]^+ is at most a'd z + sum [a]^+ (-d l) (a unit that is always active
has d = 1, one that never is d = 0, and both add nothing). From the last layer back to the input,
    c'z_L(x + delta) <= c'b_L + ... + nu'x + rho ||nu||_q,
nu the form's coefficients at the input, q dual to the ball's p. The bounds l and u of a hidden
layer are the same bound of its units and their negatives, layer by layer.

Legend: P networks in the pack, B batch, U linear forms per example, D input features, H hidden
units, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from robust.bounds.first_order import difference_cotangents
from robust.networks.linearization import Network
from robust.networks.mlp import MLP
from robust.norms import dual_norm

# Coefficients (forms x units of one layer) held at once; beyond it a batch is cut into blocks
# that are computed again in the backward pass, so that memory does not grow with P x B.
BLOCK_ELEMENTS = {"cpu": 2**22, "cuda": 2**28}


@dataclass(frozen=True)
class Relaxation:
    """The relaxed ReLUs of one hidden layer.

    Attributes:
        slope: d, [P, B, H].
        intercept: -d l where l < 0 < u, else 0: [P, B, H].
    """

    slope: Tensor
    intercept: Tensor


def worst_case_differences(
    net: Network, x: Tensor, y: Tensor, radius: Tensor, order: str = "linf"
) -> Tensor:
    """Return COAP's certified bound of max z_k - z_y over the ball, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true radius, [P].
        order: norm of the ball; Wong and Kolter's is linf.

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters.

    Raises:
        ValueError: not a multi-layer perceptron; an unknown norm.
    """
    if not isinstance(net, MLP):
        raise ValueError(f"no COAP bound for a network of type {type(net).__name__}; known: MLP")
    weights, biases = list(net.weights), list(net.biases)
    points = x.expand(net.num_networks, *x.shape[-2:])
    widest = max(w.shape[1] for w in weights)
    per_example = widest * max([net.num_classes, *(w.shape[2] for w in weights[1:-1])])
    budget = BLOCK_ELEMENTS.get(x.device.type, BLOCK_ELEMENTS["cpu"])
    blocks = list(_blocks(net.num_networks, x.shape[-2], per_example, budget))
    recompute = torch.is_grad_enabled() and len(blocks) * len(blocks[0][1]) > 1
    rows = []
    for p, examples in blocks:
        part = [w[p] for w in weights], [b[p] for b in biases]
        row = [(*part, points[p, at], y[at], radius[p], order) for at in examples]
        rows.append(torch.cat([_block_differences(recompute, *block) for block in row], dim=1))
    return torch.cat(rows, dim=0)


def _block_differences(recompute: bool, *block: Any) -> Tensor:
    if not recompute:
        return _differences(*block)
    differences: Tensor = checkpoint(_differences, *block, use_reentrant=False)
    return differences


def _differences(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    y: Tensor,
    radius: Tensor,
    order: str,
) -> Tensor:
    low_high = hidden_bounds(weights, biases, x, radius, order)
    layers = [relax(low, high) for low, high in low_high]
    cotangents = difference_cotangents(y, weights[-1].shape[2], x)  # [B, K-1, K]
    centre, spread, slack = _backward(
        cotangents.expand(x.shape[0], -1, -1, -1), weights, biases, layers, x, order
    )
    return centre + slack[0] + radius.view(-1, 1, 1) * spread


def hidden_bounds(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    radius: Tensor,
    order: str = "linf",
) -> list[tuple[Tensor, Tensor]]:
    """Return bounds l <= z <= u of every hidden layer's pre-activations over the ball.

    Args:
        weights: over layers, [P, in, out].
        biases: over layers, [P, out].
        x: [P, B, D].
        radius: true radius, [P].
        order: norm of the ball.

    Returns:
        (l, u) of each hidden layer, [P, B, H].
    """
    z = torch.baddbmm(biases[0].unsqueeze(1), x, weights[0])
    reach = (radius.view(-1, 1) * dual_norm(weights[0].mT, order)).unsqueeze(1)
    bounds = [(z - reach, z + reach)]
    layers: list[Relaxation] = []
    for depth in range(2, len(weights)):
        layers.append(relax(*bounds[-1]))
        forms = torch.eye(weights[depth - 1].shape[2], dtype=x.dtype, device=x.device)
        centre, spread, (above, below) = _backward(
            forms.expand(*x.shape[:2], -1, -1), weights[:depth], biases[:depth], layers, x, order
        )
        reach = radius.view(-1, 1, 1) * spread
        bounds.append((centre - reach - below, centre + reach + above))
    return bounds


def relax(low: Tensor, high: Tensor) -> Relaxation:
    """Return slope and intercept of the relaxed ReLU for bounds l <= z <= u."""
    crosses = (low < 0) & (high > 0)
    width = torch.where(crosses, high - low, 1.0)
    slope = torch.where(crosses, high / width, (low >= 0).to(low.dtype))
    return Relaxation(slope, torch.where(crosses, -slope * low, 0.0))


def _backward(
    forms: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    layers: Sequence[Relaxation],
    x: Tensor,
    order: str,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Carry linear forms of the last layer's output back to the input.

    Args:
        forms: [P, B, U, out of the last layer]; expanded over P and B where they are shared.
        weights, biases: of the layers, [P, in, out] and [P, out].
        layers: relaxations of the hidden layers between them.
        x: [P, B, D].
        order: norm of the ball.

    Returns:
        The form's value at x, its dual norm at the input, and what the relaxation adds to the
        form and to its negative, each [P, B, U].
    """
    networks, batch, rows, _ = forms.shape
    constant = above = below = forms.new_zeros(networks, batch, rows)
    for depth in range(len(weights) - 1, -1, -1):
        flat = forms.reshape(networks, batch * rows, -1)
        constant = constant + torch.bmm(flat, biases[depth].unsqueeze(2)).view_as(constant)
        forms = torch.bmm(flat, weights[depth].mT).view(networks, batch, rows, -1)
        if depth:
            layer = layers[depth - 1]
            intercept = layer.intercept.unsqueeze(3)
            gain = torch.matmul(torch.relu(forms), intercept).squeeze(3)
            above = above + gain
            # [-a]^+ = [a]^+ - a
            below = below + gain - torch.matmul(forms, intercept).squeeze(3)
            forms = forms * layer.slope.unsqueeze(2)
    centre = constant + torch.matmul(forms, x.unsqueeze(3)).squeeze(3)
    return centre, dual_norm(forms, order), (above, below)


def _blocks(
    networks: int, examples: int, per_example: int, budget: int
) -> Iterator[tuple[slice, list[slice]]]:
    """Cut networks x examples into blocks of at most `budget` elements (at least one example)."""
    wide = max(1, min(networks, budget // max(1, examples * per_example)))
    tall = max(1, min(examples, budget // per_example))
    for p in range(0, networks, wide):
        yield slice(p, p + wide), [slice(b, b + tall) for b in range(0, examples, tall)]
