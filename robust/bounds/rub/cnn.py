"""RUB for convolutional networks with ReLU and max-pooling, which the paper leaves open.

The two convex streams of `streams` are carried. A convolution is an affine layer. A window of
max-pooling after ReLU passes on
    s = max_i [u_i]^+ >= max_i [z_i]^+    and    m = t v_w >= -max_i [z_i]^+,
w the member that is largest at x itself, t = 1 where it is active there, else 0. Any t_i >= 0
with sum at most 1 would do; this choice makes the bound exact at radius 0. docs/rub-bound.md has
the proof.

Only the maximising vertex of each (example, class) carries gradient: `cnn_search` finds it
without gradient, here it is evaluated again.

Legend: P networks in the pack, B batch, V vertices, N = B*V, D input features, K classes, M maps,
R x S rows and columns, H units.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from robust.bounds.rub.cnn_search import worst_vertices
from robust.bounds.rub.output_layer import output_layer
from robust.bounds.rub.walk import vertex_inputs
from robust.layers.convolution import convolve
from robust.layers.streams import halves, sides, through_affine, through_last, through_relu
from robust.networks.cnn import CNN, Trace
from robust.networks.convolution import POOL, Pooling
from robust.numerics.precision import shortened_products

__all__ = ["vertex_bounds", "worst_case_differences", "worst_vertices"]


def worst_case_differences(
    net: CNN, x: Tensor, y: Tensor, radius: Tensor, for_training: bool = False
) -> Tensor:
    """Return RUB's bound of max z_k - z_y over the L1 ball, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true L1 radius >= 0, [P, B].
        for_training: look for the vertices with `shortened_products`; the bound at them stays
            exact.

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters (the subgradient at the maximising vertex).
    """
    with shortened_products(x.device.type, for_training):
        vertices = worst_vertices(net, x, y, radius)[1]
    bounds = vertex_bounds(net, x, y, radius, vertices)  # V = K-1: one for each class
    return bounds.diagonal(dim1=2, dim2=3)


def vertex_bounds(net: CNN, x: Tensor, y: Tensor, radius: Tensor, vertices: Tensor) -> Tensor:
    """Return the bound of every class difference at given vertices, by full forward passes.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius >= 0, [P, B].
        vertices: v < D is x + rho e_v, v >= D is x - rho e_{v-D}, [P, B, V].

    Returns:
        [P, B, V, K-1], differentiable in the parameters.
    """
    with torch.no_grad():
        trace = net.trace(x)
    points = vertex_inputs(x, radius, vertices).flatten(1, 2)
    total, gap = _pooled_streams(net, trace, points)
    total, gap = _dense_streams(net, trace, total, gap)
    shape = (*vertices.shape, -1)
    last = output_layer(net, y)
    bounds = through_last(total.view(shape), gap.view(shape), last.weight)
    return bounds + last.bias.unsqueeze(2)


def _pooled_streams(net: CNN, trace: Trace, points: Tensor) -> tuple[Tensor, Tensor]:
    """Carry both streams from perturbed inputs to the units that enter the dense layers.

    Args:
        net: P networks.
        trace: at the B unperturbed inputs.
        points: V perturbed inputs of each, [P, N, D].

    Returns:
        s + m and s - m after the last max-pooling, each [P, N, H].
    """
    layers = zip(net.weights, net.biases, trace.poolings, strict=False)
    total, gap = None, 2 * net.to_maps(points)
    for weight, bias, pooling in layers:
        centre = convolve(gap, weight / 2, bias)
        excess = None if total is None else convolve(total, weight.abs() / 2, None)
        total, gap = _pool(centre, excess, pooling)
    assert total is not None
    return net.to_units(total), net.to_units(gap)


def _pool(centre: Tensor, excess: Tensor | None, pooling: Pooling) -> tuple[Tensor, Tensor]:
    """Pass u = centre + excess and v = excess - centre, [N, P*M, R, S], through ReLU and pooling.

    Returns:
        s + m and s - m, each [N, P*M, R/2, S/2].
    """
    up, down = sides(centre, excess)
    s = torch.relu(functional.max_pool2d(up, POOL))
    rows = down.view(pooling.winner.shape[0], -1, *down.shape[1:]).flatten(3)  # [B, V, P*M, RS]
    winner = pooling.winner.unsqueeze(1).expand(-1, rows.shape[1], -1, -1)
    m = (rows.gather(3, winner) * pooling.active.unsqueeze(1)).view_as(s)
    return s + m, s - m


def _dense_streams(net: CNN, trace: Trace, total: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """Carry s + m and s - m, [P, N, H], through the hidden dense layers."""
    layers = list(zip(net.weights, net.biases, strict=True))[net.num_stages : -1]
    for (weight, bias), z in zip(layers, trace.hidden, strict=True):
        mask = (z > 0).to(z.dtype).repeat_interleave(gap.shape[1] // z.shape[1], dim=1)
        total, gap = through_relu(*through_affine(total, gap, *halves(weight), bias), mask)
    return total, gap
