"""RUB for multi-layer perceptrons: the bound of Theorem 11 at t = [sign(z(x))]^+.

Two functions of the perturbation are carried for every unit: u >= z and v >= -z (the theorem's
g with r = 1 and r = -1). With s = [u]^+ and m = t v, an affine layer W, b gives
    u' = [W]^+ s + [-W]^+ m + b,    v' = [-W]^+ s + [W]^+ m - b.
As [W]^+ = (|W| + W)/2 and [-W]^+ = (|W| - W)/2, both follow from two products:
    excess = |W|(s + m)/2,  centre = W(s - m)/2 + b,  u' = centre + excess,  v' = excess - centre.
At the first layer the excess is 0.

u and v are convex in the perturbation, so their maximum over the L1 ball lies at one of the 2D
vertices x +- rho e_m. Only the maximising vertex of each (example, class) carries gradient: it is
found without gradient, in chunks, and evaluated again with gradient.

Legend: P networks in the pack, B batch, V vertices, D input features (the paper's M), H hidden
units, K classes, L affine layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from robust.losses import other_classes
from robust.networks.mlp import MLP

# Elements of one hidden layer's activations handled at once. On a CPU a chunk should stay in
# the cache, on a GPU it should fill the device.
CHUNK_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}


@dataclass(frozen=True)
class OutputLayer:
    """The last layer seen from each example: c_k'W_L and c_k'b_L for the classes k != y.

    Attributes:
        weight: [P, B, K-1, H].
        bias: [P, B, K-1].
    """

    weight: Tensor
    bias: Tensor

    def slice(self, networks: slice, examples: slice) -> OutputLayer:
        """The same for some networks and examples."""
        return OutputLayer(self.weight[networks, examples], self.bias[networks, examples])


def output_layer(net: MLP, y: Tensor) -> OutputLayer:
    """Return c_k'W_L and c_k'b_L with c_k = e_k - e_y for every example."""
    others = other_classes(y, net.num_classes)
    rows, bias = net.weights[-1].mT, net.biases[-1]
    return OutputLayer(
        rows[:, others] - rows[:, y].unsqueeze(2),
        bias[:, others] - bias[:, y].unsqueeze(2),
    )


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


def halved_layers(net: MLP) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return (W/2, |W|/2, b) of the affine layers between hidden layers."""
    pairs = zip(list(net.weights)[1:-1], list(net.biases)[1:-1], strict=True)
    return [(w / 2, w.abs() / 2, b) for w, b in pairs]


def activity_masks(net: MLP, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return z_1 [P, B, H] and t = [sign(z)]^+ of each hidden layer, [P, B, 1, H]."""
    hidden = net.pre_activations(x)[:-1]
    return hidden[0], [(z > 0).to(z.dtype).unsqueeze(2).detach() for z in hidden]


@torch.no_grad()
def worst_vertices(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, chunk_elements: int | None = None
) -> tuple[Tensor, Tensor]:
    """Find the vertex at which the bound of each class difference is largest.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius, [P, 1] or [P, B].
        chunk_elements: activations of one layer held at once; None chooses by device.

    Returns:
        The bounds and the vertices, each [P, B, K-1]; vertex v < D is x + rho e_v, vertex
        v >= D is x - rho e_{v-D}.
    """
    first, masks = activity_masks(net, x)
    halves, last = halved_layers(net), output_layer(net, y)
    radius = radius.expand(first.shape[:2])
    values = torch.empty_like(last.bias)
    vertices = torch.empty(last.bias.shape, dtype=torch.int64, device=x.device)
    for networks, examples in chunks(net, first.shape[1], x.device.type, chunk_elements):
        step = radius[networks, examples, None, None] * net.weights[0][networks].unsqueeze(1)
        here = first[networks, examples].unsqueeze(2)
        bounds = vertex_bounds(
            torch.cat([here + step, here - step], dim=2),
            [mask[networks, examples] for mask in masks],
            [(w[networks], a[networks], b[networks]) for w, a, b in halves],
            last.slice(networks, examples),
        )
        torch.max(bounds, dim=2, out=(values[networks, examples], vertices[networks, examples]))
    return values, vertices


def vertex_bounds(
    centre: Tensor,
    masks: Sequence[Tensor],
    halves: Sequence[tuple[Tensor, Tensor, Tensor]],
    last: OutputLayer,
) -> Tensor:
    """Return g_{L,k}(+-rho) at every vertex for every class k != y, [P, B, V, K-1]."""
    total, gap = hidden_streams(centre, masks, halves)
    bounds = torch.matmul(total, last.weight.abs().mT) + torch.matmul(gap, last.weight.mT)
    return bounds / 2 + last.bias.unsqueeze(2)


def chunks(
    net: MLP, examples: int, device: str, budget: int | None = None
) -> Iterator[tuple[slice, slice]]:
    """Cut networks x examples so that one hidden layer at all vertices fits into a chunk.

    Args:
        net: P networks.
        examples: B.
        device: its type.
        budget: elements per chunk; None chooses by device. A chunk has at least one example.

    Yields:
        Slices of networks and of examples.
    """
    budget = budget or CHUNK_ELEMENTS.get(device, CHUNK_ELEMENTS["cpu"])
    per_example = 2 * net.num_features * max(w.shape[2] for w in net.weights)
    wide = max(1, budget // max(1, examples * per_example))
    tall = max(1, examples if wide > 1 else min(examples, budget // per_example))
    for p in range(0, net.num_networks, wide):
        for b in range(0, examples, tall):
            yield slice(p, min(p + wide, net.num_networks)), slice(b, min(b + tall, examples))


def worst_case_differences(net: MLP, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Return RUB's bound of max z_k - z_y over the L1 ball, with gradient (Theorem 11).

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true L1 radius >= 0, [P, 1] or [P, B].

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters (the subgradient at the maximising vertex).
    """
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
