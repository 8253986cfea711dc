"""RUB for any graph of layers: the streams of `robust.layers` at all 2D vertices.

Each layer passes on two convex functions of the perturbation (docs/rub-bound.md). Values that are
affine in the input move by rho times their linear part at each unit vector, which all examples
share; from there on a vertex is one walk of both streams. Only the maximising vertex of each
(example, class) carries gradient: it is found without, in chunks, and evaluated again.

Legend: P networks in the pack, B batch, V vertices, D input features, K classes, H units before
the last layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.rub.mlp_search import chunk_elements
from robust.bounds.rub.output_layer import OutputLayer, output_layer
from robust.layers import walk
from robust.layers.base import Own
from robust.layers.graph import Layered, owned
from robust.layers.streams import Streams
from robust.numerics.precision import shortened_products


def worst_case_differences(
    net: Layered, x: Tensor, y: Tensor, radius: Tensor, for_training: bool = False
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
    around = Around.of(net, x, y, radius)
    streams = {0: Streams(vertex_inputs(x, radius, vertices), None)}
    centre, excess = around.carried(streams, slice(None))  # V = K-1: one vertex for each class
    bounds = (centre * around.last.weight).sum(dim=3) + around.last.bias
    if excess is None:
        return bounds
    return bounds + (excess * around.last.weight.abs()).sum(dim=3)


@torch.no_grad()
def worst_vertices(net: Layered, x: Tensor, y: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest bound of each class difference, and the vertex that has it.

    Args:
        net, x, y, radius: as for `worst_case_differences`.

    Returns:
        Bounds, and vertices v < D for x + rho e_v, v >= D for x - rho e_{v-D}, each [P, B, K-1].
    """
    features, around = net.graph.num_features, Around.of(net, x, y, radius)
    budget = chunk_elements(x.device.type) // (2 * net.num_networks * net.graph.widest)
    wide = max(1, min(features, budget))
    tall = max(1, budget // wide)
    best: Tensor | None = None
    found: Tensor | None = None
    for start in range(0, features, wide):
        block = torch.arange(start, min(start + wide, features), device=x.device)
        parts = around.unit_steps(block)
        rows = [
            around.bounds(parts, slice(i, i + tall)).max(dim=2) for i in range(0, len(y), tall)
        ]
        values = torch.cat([row.values for row in rows], dim=1)
        index = torch.cat([row.indices for row in rows], dim=1)
        vertex = torch.cat([block, block + features])[index]
        if best is None or found is None:
            best, found = values, vertex
            continue
        higher = (values > best) | values.isnan()
        best, found = torch.where(higher, values, best), torch.where(higher, vertex, found)
    assert best is not None and found is not None
    return best, found


@dataclass(frozen=True)
class Around:
    """The unperturbed pass at a batch, and what all vertices share.

    Attributes:
        net: P networks.
        own: every node's parameters.
        values: every value at x, without gradient, each [P, B, *shape].
        radius: [P, B].
        last: the last layer seen from each example.
    """

    net: Layered
    own: Sequence[Own | None]
    values: Sequence[Tensor]
    radius: Tensor
    last: OutputLayer

    @classmethod
    def of(cls, net: Layered, x: Tensor, y: Tensor, radius: Tensor) -> Around:
        """Make the unperturbed pass; arguments as for `worst_case_differences`."""
        with torch.no_grad():
            values = walk.values_at(net, x)
        return cls(net, owned(net), values, radius, output_layer(net, y))

    def unit_steps(self, features: Tensor) -> dict[int, Tensor]:
        """Return what +-e_m adds to the values that are affine in the input.

        Args:
            features: m, [N].

        Returns:
            By value, [P, 2N, *shape]: first for all +e_m, then for all -e_m.
        """
        like = self.values[0]
        unit = like.new_zeros(len(features), like.shape[2])
        unit[torch.arange(len(features), device=like.device), features] = 1
        parts = walk.linear_parts(self.net, unit)
        return {at: torch.cat([part, -part], dim=1) for at, part in parts.items()}

    def bounds(self, parts: Mapping[int, Tensor], examples: slice) -> Tensor:
        """Return the bounds at the vertices of some features, [P, b, V, K-1].

        Args:
            parts: from `unit_steps`.
            examples: which of the batch, b.
        """
        streams = {
            at: Streams(self._moved(at, part, examples), None) for at, part in parts.items()
        }
        centre, excess = self.carried(streams, examples)
        weight, bias = self.last.weight[:, examples], self.last.bias[:, examples]
        bounds = torch.matmul(centre, weight.mT) + bias.unsqueeze(2)
        if excess is None:
            return bounds
        return bounds + torch.matmul(excess, weight.abs().mT)

    def _moved(self, at: int, part: Tensor, examples: slice) -> Tensor:
        """Return a value at the vertices, [P, b, V, *shape]."""
        value = self.values[at][:, examples].unsqueeze(2)
        radius = self.radius[:, examples]
        return value + radius.view(*radius.shape, *[1] * (value.dim() - 2)) * part.unsqueeze(1)

    def carried(self, streams: dict[int, Streams], examples: slice) -> Streams:
        """Carry the streams from values that are known to what the last layer reads.

        Args:
            streams: by value; at least the input's.
            examples: which of the batch, b.

        Returns:
            [P, b, V, H].
        """
        nodes = self.net.graph.nodes
        for number, node in enumerate(nodes[:-1]):
            if number + 1 not in streams:
                at = [self.values[source][:, examples].unsqueeze(2) for source in node.inputs]
                inputs = [streams[source] for source in node.inputs]
                streams[number + 1] = node.layer.streams(self.own[number], at, *inputs)
        return streams[nodes[-1].inputs[0]]


def vertex_inputs(x: Tensor, radius: Tensor, vertices: Tensor) -> Tensor:
    """Return x at given vertices.

    Args:
        x: [B, D] or [P, B, D].
        radius: [P, B].
        vertices: v < D is x + rho e_v, v >= D is x - rho e_{v-D}, [P, B, V].

    Returns:
        [P, B, V, D].
    """
    features = x.shape[-1]
    sign = torch.where(vertices < features, 1.0, -1.0).to(x.dtype)
    step = (sign * radius.unsqueeze(2)).unsqueeze(3)
    points = x.expand(len(vertices), *x.shape[-2:]).unsqueeze(2)
    points = points.expand(-1, -1, vertices.shape[2], -1)
    return points.scatter_add(3, (vertices % features).unsqueeze(3), step)
