"""RUB for multi-layer perceptrons: the bound of Theorem 11 at t = [sign(z(x))]^+.

Two functions of the perturbation are carried for every unit: u >= z and v >= -z (the theorem's
g with r = 1 and r = -1). With s = [u]^+ and m = t v, an affine layer W, b gives
    u' = [W]^+ s + [-W]^+ m + b,    v' = [-W]^+ s + [W]^+ m - b.
As [W]^+ = (|W| + W)/2 and [-W]^+ = (|W| - W)/2, both follow from two products:
    excess = |W|(s + m)/2,  centre = W(s - m)/2 + b,  u' = centre + excess,  v' = excess - centre.
At the first layer the excess is 0.

u and v are convex in the perturbation, so their maximum over the L1 ball lies at one of the 2D
vertices x +- rho e_m. Only the maximising vertex of each (example, class) carries gradient:
`vertex_search` finds it without gradient, and it is evaluated again here with gradient.

Legend: P networks in the pack, B batch, V vertices, D input features (the paper's M), H hidden
units, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from robust.bounds.output_layer import output_layer
from robust.bounds.vertex_search import (
    activity_masks,
    halved_layers,
    search_precision,
    worst_vertices,
)
from robust.networks.mlp import MLP


def hidden_streams(
    centre: Tensor, masks: Sequence[Tensor], halves: Sequence[tuple[Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Carry both streams from the first layer's pre-activations to the last hidden layer.

    Args:
        centre: z_1 at each vertex, [P, B, V, H].
        masks: t of each hidden layer, 0 or 1, [P, B, 1, H].
        halves: (W/2, |W|/2, b) of the affine layers between hidden layers.

    Returns:
        s + m and s - m after the last hidden layer, each [P, B, V, H].
    """
    networks, batch, vertices, _ = centre.shape
    excess: Tensor | None = None  # 0 at the first layer
    for mask, (half, half_abs, bias) in zip(masks[:-1], halves, strict=True):
        total, gap = _sum_and_difference(centre, excess, mask)
        rows = (networks, batch, vertices, -1)
        centre = torch.baddbmm(bias.unsqueeze(1), gap.flatten(1, 2), half).view(rows)
        excess = torch.bmm(total.flatten(1, 2), half_abs).view(rows)
    return _sum_and_difference(centre, excess, masks[-1])


def _sum_and_difference(
    centre: Tensor, excess: Tensor | None, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Return s + m and s - m with s = [centre + excess]^+ and m = t (excess - centre).

    Where t = 1, s + m = [-u]^+ + 2 excess and s - m = [-u]^+ + 2 centre; where t = 0, both
    are [u]^+: what flips is [-u]^+ of the active units and [u]^+ of the others.
    """
    up = centre if excess is None else centre + excess
    flipped = torch.relu_(up * (1 - 2 * mask))
    gap = torch.addcmul(flipped, centre, mask, value=2)
    if excess is None:
        return flipped, gap
    return torch.addcmul(flipped, excess, mask, value=2), gap


def worst_case_differences(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, rough: bool = False
) -> Tensor:
    """Return RUB's bound of max z_k - z_y over the L1 ball, with gradient (Theorem 11).

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true L1 radius >= 0, [P, 1] or [P, B].
        rough: look for the vertices in `search_precision`; the bound at them stays exact.

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters (the subgradient at the maximising vertex).
    """
    with search_precision(x.device.type, rough):
        vertices = worst_vertices(net, x, y, radius)[1]
    first, masks = activity_masks(net, x)
    centre = first.unsqueeze(2) + vertex_steps(net, vertices, radius)
    last = output_layer(net, y)
    total, gap = hidden_streams(centre, masks, halved_layers(net))  # V = K-1: one for each class
    return ((total * last.weight.abs()).sum(-1) + (gap * last.weight).sum(-1)) / 2 + last.bias


def vertex_steps(net: MLP, vertices: Tensor, radius: Tensor) -> Tensor:
    """Return what moving x to each vertex adds to z_1: +-rho times a row of W_1.

    Args:
        vertices: indices in 0..2D-1, [P, B, V].
        radius: [P, 1] or [P, B].

    Returns:
        [P, B, V, H], differentiable in W_1.
    """
    networks, features = net.num_networks, net.num_features
    offset = torch.arange(networks, device=vertices.device).view(-1, 1, 1) * features
    rows = functional.embedding(vertices % features + offset, net.weights[0].flatten(0, 1))
    sign = torch.where(vertices < features, 1.0, -1.0).to(rows.dtype)
    return rows * (sign * radius.unsqueeze(2)).unsqueeze(3)
