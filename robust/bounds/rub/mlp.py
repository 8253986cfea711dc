"""RUB for multi-layer perceptrons: the bound of Theorem 11 (Eq. 35) at t = [sign(z(x))]^+.

The two streams of `streams` are convex in the perturbation, so their maximum over the L1 ball lies
at one of the 2D vertices x +- rho e_m. Only the maximising vertex of each (example, class) carries
gradient: `mlp_search` finds it without gradient, and it is evaluated again here with gradient.

Legend: P networks in the pack, B batch, V vertices, D input features (the paper's M), H hidden
units, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from robust.bounds.rub import mlp_screened_search
from robust.bounds.rub.mlp_search import halved_layers, unperturbed_pass, worst_vertices_around
from robust.layers.streams import through_affine
from robust.networks.mlp import MLP
from robust.numerics.precision import shortened_products
from robust.rows import IN_ORDER, select_rows


def hidden_streams(
    centre: Tensor, twice: Sequence[Tensor], layers: Sequence[tuple[Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Carry both streams from the first layer's pre-activations to the last hidden layer.

    Args:
        centre: z_1 at each vertex, [P, B, V, H].
        twice: 2t of each hidden layer, 0 or 2, [P, B, 1, H].
        layers: (W/2, |W|/2, b) of the affine layers between hidden layers.

    Returns:
        s + m and s - m after the last hidden layer, each [P, B, V, H].
    """
    excess: Tensor | None = None  # 0 at the first layer
    for mask, layer in zip(twice[:-1], layers, strict=True):
        total, gap = sum_and_difference(centre, excess, mask)
        centre, excess = through_affine(total, gap, *layer)
    return sum_and_difference(centre, excess, twice[-1])


def sum_and_difference(
    centre: Tensor, excess: Tensor | None, twice: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what `streams.through_relu` does at 2t = 0 or 2, with the faster gradient."""
    streams: tuple[Tensor, Tensor] = _SumAndDifference.apply(  # type: ignore[no-untyped-call]
        centre, excess, twice
    )
    return streams


class _SumAndDifference(Function):
    """s + m and s - m with s = [centre + excess]^+ and m = t (excess - centre).

    Where t = 1, s + m = [-u]^+ + 2 excess and s - m = [-u]^+ + 2 centre; where t = 0, both
    are [u]^+: what flips is [-u]^+ of the active units and [u]^+ of the others. Its gradient is
    written out because autograd's takes twice as many passes over memory.
    """

    @staticmethod
    def forward(ctx: Any, centre: Tensor, excess: Tensor | None, twice: Tensor) -> Any:
        sign = 1 - twice
        up = centre * sign if excess is None else (centre + excess).mul_(sign)
        flipped = up.relu_()
        ctx.save_for_backward(flipped, sign, twice)
        ctx.first_layer = excess is None
        gap = torch.addcmul(flipped, centre, twice)
        return (flipped if excess is None else torch.addcmul(flipped, excess, twice)), gap

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        of_total, of_gap = gradients
        flipped, sign, twice = ctx.saved_tensors
        of_up = torch.ops.aten.threshold_backward(of_total + of_gap, flipped, 0).mul_(sign)
        of_excess = None if ctx.first_layer else torch.addcmul(of_up, of_total, twice)
        return of_up.addcmul_(of_gap, twice), of_excess, None


def worst_case_differences(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, for_training: bool = False
) -> Tensor:
    """Return RUB's bound of max z_k - z_y over the L1 ball, with gradient (Eq. 35).

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true L1 radius >= 0, [P, B].
        for_training: look for the vertices with `shortened_products`, and with screening where
            it pays; the bound at them stays exact.

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters (the subgradient at the maximising vertex).
    """
    around = unperturbed_pass(net, x, y)
    with shortened_products(x.device.type, for_training):
        if for_training and mlp_screened_search.pays(net, x.device.type):
            vertices = mlp_screened_search.worst_vertices(net, around, radius)
        else:
            vertices = worst_vertices_around(net, around, radius)[1]
    centre = around.hidden[0].unsqueeze(2) + vertex_steps(net, vertices, radius)
    total, gap = hidden_streams(centre, around.twice, halved_layers(net))  # V = K-1: one per class
    last = around.last
    return ((total * last.weight.abs()).sum(-1) + (gap * last.weight).sum(-1)) / 2 + last.bias


def vertex_steps(net: MLP, vertices: Tensor, radius: Tensor) -> Tensor:
    """Return what moving x to each vertex adds to z_1: +-rho times a row of W_1.

    Args:
        vertices: indices in 0..2D-1, [P, B, V].
        radius: [P, B].

    Returns:
        [P, B, V, H], differentiable in W_1.
    """
    networks, features = net.num_networks, net.num_features
    offset = torch.arange(networks, device=vertices.device).view(-1, 1, 1) * features
    index, table = vertices % features + offset, net.weights[0].flatten(0, 1)
    if table.device.type in IN_ORDER:
        rows = functional.embedding(index, table)
    else:
        rows = select_rows(table, index.flatten(), 0).view(*index.shape, table.shape[1])
    sign = torch.where(vertices < features, 1.0, -1.0).to(rows.dtype)
    return rows * (sign * radius.unsqueeze(2)).unsqueeze(3)
