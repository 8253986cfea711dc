"""COAP: the dual network bound of Wong and Kolter (2018), exact.

"Provable defenses against adversarial examples via the convex outer adversarial polytope". Each
ReLU with pre-activation bounds l < 0 < u is relaxed to its convex hull; on the dual's feasible
point with slope d = u / (u - l) below and above, d z <= [z]^+ <= d (z - l). Written for upper
bounds, a linear form a'[z]^+ is at most a'd z + sum [a]^+ (-d l) (a unit that is always active
has d = 1, one that never is d = 0, and both add nothing). From the last layer back to the input,
    c'z_L(x + delta) <= c'b_L + ... + nu'x + rho ||nu||_q,
nu the form's coefficients at the input, q dual to the ball's p. Without the sums and the norm, its
excess, this is the form's value at x along all lower lines d z. Its value along the upper lines
d (z - l), less the excess, bounds the form from below, as [-a]^+ = [a]^+ - a. The bounds l and u
of a hidden layer are these of its units, layer by layer. Here that is written out for multi-layer
perceptrons; on any other graph of layers that own the rule it is `crown_walk` with equal slopes.

Legend: P networks in the pack, B batch, U linear forms per example, D input features, H hidden
units, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robust.bounds import crown_walk
from robust.bounds.ball import Ball
from robust.bounds.coap_excess import Relaxation, excess_over_lower_lines
from robust.bounds.first_order import difference_cotangents
from robust.layers.base import LAYERS
from robust.layers.relu import chord
from robust.losses import class_differences
from robust.networks.graph import GraphNetwork
from robust.networks.linearization import Network
from robust.networks.mlp import MLP


def worst_case_differences(
    net: Network, x: Tensor, y: Tensor, radius: Tensor, order: str = "linf"
) -> Tensor:
    """Return COAP's certified bound of max z_k - z_y over the ball, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true radius, [P, B].
        order: norm of the ball; Wong and Kolter's is linf.

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters.

    Raises:
        ValueError: a network with a layer that has no such bound; an unknown norm.
    """
    if isinstance(net, GraphNetwork):
        _check_layers(net)
        ball = Ball(radius, order)  # type: ignore[arg-type]
        return crown_walk.worst_case_differences(net, x, y, ball, "parallel", False)
    if not isinstance(net, MLP):
        raise ValueError(
            f"no COAP bound for a network of type {type(net).__name__}; "
            "known: MLP, and graphs without max-pooling"
        )
    weights, biases = list(net.weights), list(net.biases)
    hidden, last = weights[:-1], weights[-1]
    points = x.expand(net.num_networks, *x.shape[-2:])
    layers, (lower, _) = relaxed_layers(hidden, biases[:-1], points, radius, order)
    logits = torch.baddbmm(biases[-1].unsqueeze(1), lower, last)
    cotangents = difference_cotangents(y, net.num_classes, x)  # [B, K-1, K]
    shared = cotangents.flatten(0, 1).expand(net.num_networks, -1, -1)
    forms = torch.bmm(shared, last.mT).view(*points.shape[:2], cotangents.shape[1], -1)
    return class_differences(logits, y) + excess_over_lower_lines(
        forms, hidden, layers, radius, order
    )


def _check_layers(net: GraphNetwork) -> None:
    without = sorted(kind for kind in net.graph.kinds if "coap" not in LAYERS.get(kind).rules)
    if without:
        raise ValueError(f"no COAP bound for a network with layers of kind {without[0]!r}")


def relaxed_layers(
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    x: Tensor,
    radius: Tensor,
    order: str = "linf",
) -> tuple[list[Relaxation], tuple[Tensor, Tensor]]:
    """Bound and relax the hidden layers one after the other.

    Args:
        weights, biases: of the hidden layers, [P, in, out] and [P, out].
        x: [P, B, D].
        radius: true radius, [P, B].
        order: norm of the ball.

    Returns:
        The layers, and the last one's activations at x along all lower and along all upper
        lines, each [P, B, H]. A form's value there and its excess bound it from both sides.
    """
    layers: list[Relaxation] = []
    lower = upper = x
    for depth, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        lower, upper = (torch.baddbmm(bias.unsqueeze(1), h, weight) for h in (lower, upper))
        forms = weight.mT.unsqueeze(1)
        excess = excess_over_lower_lines(forms, weights[:depth], layers, radius, order)
        layers.append(relax(upper - excess, lower + excess))
        lower = layers[-1].slope * lower
        upper = layers[-1].slope * upper + layers[-1].intercept
    return layers, (lower, upper)


def relax(low: Tensor, high: Tensor) -> Relaxation:
    """Return the relaxed ReLU for bounds l <= z <= u; NaN where either is NaN."""
    _, slope, intercept = chord(low, high)
    return Relaxation(low, high, slope, intercept)
