"""The worst vertices of RUB on multi-layer perceptrons, without gradient.

The streams of `streams` at all 2D vertices of the ball, for a few examples at a time so that
what is written is read back from the cache. Every layer is two products and five elementwise
passes in place; biases ride in the products as one more row of the weights.

Legend: P networks in the pack (p in a chunk), B batch (b in a chunk), V = 2D vertices, D input
features, H hidden units, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.rub.output_layer import OutputLayer, output_layer
from robust.layers.streams import halves
from robust.networks.mlp import MLP, homogeneous, pad_matrix, pad_units

# Elements of one hidden layer's activations handled at once: on a CPU a chunk should stay in the
# cache of the cores that share the work, on a GPU it should fill the device.
CHUNK_ELEMENTS = {"cpu": 2**18, "cuda": 2**26}


def chunk_elements(device: str) -> int:
    """Return how many elements of one hidden layer are handled at once."""
    elements = CHUNK_ELEMENTS.get(device, CHUNK_ELEMENTS["cpu"])
    # Several threads need more work at once before sharing it pays.
    shared = device == "cpu" and torch.get_num_threads() > 1
    return 2 * elements if shared else elements


@dataclass(frozen=True)
class Unperturbed:
    """What the streams at any vertex need of the pass at x.

    Attributes:
        hidden: z_l of each hidden layer, [P, B, H], differentiable in the parameters.
        twice: 2t = 2 [sign(z)]^+ of each hidden layer, 0 or 2, [P, B, 1, H].
        last: the last layer seen from each example.
    """

    hidden: list[Tensor]
    twice: list[Tensor]
    last: OutputLayer


def unperturbed_pass(net: MLP, x: Tensor, y: Tensor) -> Unperturbed:
    """Pass x, [B, D] or [P, B, D], with labels y, [B], through the networks once."""
    hidden = net.pre_activations(x)[:-1]
    twice = [(z > 0).to(z.dtype).mul_(2).unsqueeze(2) for z in hidden]
    return Unperturbed(hidden, twice, output_layer(net, y))


def halved_layers(net: MLP) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return (W/2, |W|/2, b) of the affine layers between hidden layers."""
    pairs = zip(list(net.weights)[1:-1], list(net.biases)[1:-1], strict=True)
    return [(*halves(w), b) for w, b in pairs]


def chunks(
    net: MLP, examples: int, vertices: int, device: str, budget: int | None = None
) -> Iterator[tuple[slice, slice]]:
    """Cut networks x examples so that one hidden layer at all vertices fits into a chunk.

    Args:
        net: P networks.
        examples: B.
        vertices: V of each example.
        device: its type.
        budget: elements per chunk; None chooses by device. A chunk has at least one example.

    Yields:
        Slices of networks and of examples: several networks come with all examples.
    """
    budget = budget or chunk_elements(device)
    per_example = vertices * max(w.shape[2] for w in net.weights)
    wide = max(1, budget // max(1, examples * per_example))
    tall = max(1, examples if wide > 1 else min(examples, budget // per_example))
    for p in range(0, net.num_networks, wide):
        for b in range(0, examples, tall):
            yield slice(p, min(p + wide, net.num_networks)), slice(b, min(b + tall, examples))


def worst_vertices(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, budget: int | None = None
) -> tuple[Tensor, Tensor]:
    """Find the vertex at which the bound of each class difference is largest.

    Args and Returns: as for `worst_vertices_around`, with x, [B, D] or [P, B, D], and its
    labels y, [B], in place of the pass at x.
    """
    return worst_vertices_around(net, unperturbed_pass(net, x, y), radius, budget)


@torch.no_grad()
def worst_vertices_around(
    net: MLP, around: Unperturbed, radius: Tensor, budget: int | None = None
) -> tuple[Tensor, Tensor]:
    """Find the vertex at which the bound of each class difference is largest.

    Args:
        net: P networks.
        around: the pass at x.
        radius: true L1 radius, [P, B].
        budget: activations of one layer held at once; None chooses by device.

    Returns:
        The bounds and the vertices, each [P, B, K-1]; vertex v < D is x + rho e_v, vertex
        v >= D is x - rho e_{v-D}.
    """
    search = Search(net, around, radius)
    values = torch.empty_like(around.last.bias)
    vertices = torch.empty(values.shape, dtype=torch.int64, device=values.device)
    for at in chunks(net, values.shape[1], 2 * net.num_features, values.device.type, budget):
        torch.max(search.bounds(*at), dim=2, out=(values[at], vertices[at]))
    return values.add_(around.last.bias), vertices


@torch.no_grad()
def bounds_at(net: MLP, around: Unperturbed, radius: Tensor, vertices: Tensor) -> Tensor:
    """Return the bound of every class difference at some vertices of each example.

    Args:
        net: P networks.
        around: the pass at x.
        radius: true L1 radius, [P, B].
        vertices: numbered as `worst_vertices` does, [P, B, V].

    Returns:
        [P, B, V, K-1].
    """
    search = Search(net, around, radius)
    values = radius.new_empty(*vertices.shape, around.last.bias.shape[2])
    _, batch, count = vertices.shape
    for at in chunks(net, batch, count, values.device.type):
        values[at] = search.bounds(*at, vertices[at])
    return values.add_(around.last.bias.unsqueeze(2))


class Search:
    """One batch's unperturbed pass and weights, ready for one chunk of vertices after another."""

    def __init__(self, net: MLP, around: Unperturbed, radius: Tensor) -> None:
        first = around.hidden[0]
        step = pad_units(torch.cat([net.weights[0], -net.weights[0]], dim=1))
        self.step = step.unsqueeze(1)  # [P, 1, V, H]
        self.first = pad_units(first, 1.0).unsqueeze(2)
        self.radius = radius[..., None, None]
        self.masks = [(1 - t, t) for t in map(pad_units, around.twice)]
        self.layers = [
            (homogeneous(half, bias), pad_matrix(half_abs))
            for half, half_abs, bias in halved_layers(net)
        ]
        half = pad_units(around.last.weight / 2)
        self.output = half.mT, half.abs().mT
        self.scratch = Scratch(first)

    def bounds(self, networks: slice, examples: slice, vertices: Tensor | None = None) -> Tensor:
        """Return g_{L,k}(+-rho) - c_k'b_L at every vertex, or at some, [p, b, V, K-1]."""
        at = networks, examples
        first, step = self.first[at], self.step[networks]
        if vertices is not None:  # [p, b, V]
            step = torch.stack(
                [rows[index] for rows, index in zip(step.squeeze(1), vertices, strict=True)]
            )
        shape = (*first.shape[:2], step.shape[2])  # p, b, V
        centre = self.scratch.take("centre", *shape, step.shape[3])
        torch.addcmul(first, self.radius[at], step, out=centre)
        total, gap = self._total_and_gap(at, self.masks[0], centre, None)
        for mask, (half, half_abs) in zip(self.masks[1:], self.layers, strict=True):
            excess = self.scratch.take("excess", *shape, half.shape[2])
            torch.bmm(total.flatten(1, 2), half_abs[networks], out=excess.flatten(1, 2))
            centre = self.scratch.take("total", *shape, half.shape[2])
            torch.bmm(gap.flatten(1, 2), half[networks], out=centre.flatten(1, 2))
            self.scratch.swap("centre", "total")
            total, gap = self._total_and_gap(at, mask, centre, excess)
        half, half_abs = (w[at].flatten(0, 1) for w in self.output)
        found = torch.bmm(total.flatten(0, 1), half_abs).baddbmm_(gap.flatten(0, 1), half)
        return found.view(*shape, found.shape[-1])

    def _total_and_gap(
        self,
        at: tuple[slice, slice],
        mask: tuple[Tensor, Tensor],
        centre: Tensor,
        excess: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return s + m and s - m; the latter takes the memory of the centre."""
        sign, twice = mask[0][at], mask[1][at]
        total = self.scratch.take("total", *centre.shape)
        if excess is None:
            torch.mul(centre, sign, out=total)
        else:
            torch.add(centre, excess, out=total).mul_(sign)
        total.relu_()  # what flips
        gap = torch.addcmul(total, centre, twice, out=centre)
        return (total if excess is None else total.addcmul_(excess, twice)), gap


class Scratch:
    """Memory that one chunk after another writes over, so that it stays in the cache."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.buffers: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Return the buffer of this name as a tensor of this shape; its content is undefined."""
        size = math.prod(shape)
        if name not in self.buffers or self.buffers[name].numel() < size:
            self.buffers[name] = self.like.new_empty(size)
        return self.buffers[name][:size].view(shape)

    def swap(self, one: str, other: str) -> None:
        """Let two buffers change names."""
        self.buffers[one], self.buffers[other] = self.buffers[other], self.buffers[one]
