"""Small graphs of every kind of layer, with random parameters.

Legend: P networks in the pack, D input features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robust.layers import Graph, Layer, Node, chain
from robust.layers.add import Add
from robust.layers.affine import Affine
from robust.layers.average_pool import AveragePool
from robust.layers.convolution import Convolution
from robust.layers.flatten import Flatten, ToMaps
from robust.layers.max_pool import MaxPool
from robust.layers.relu import ReLU
from robust.networks import GraphNetwork


def dense_block(nodes: list[Node], units: int) -> None:
    """Append a residual block of dense layers and a ReLU."""
    trunk = len(nodes)
    block: list[Layer] = [Affine(units), ReLU(), Affine(units)]
    nodes += [Node(layer, (trunk + i,)) for i, layer in enumerate(block)]
    nodes += [Node(Add(), (trunk, trunk + 3)), Node(ReLU(), (trunk + 4,))]


def residual_graph(features: int, units: int, classes: int, blocks: int = 2) -> Graph:
    """A dense layer, residual blocks, the logits."""
    nodes = [Node(Affine(units), (0,)), Node(ReLU(), (1,))]
    for _ in range(blocks):
        dense_block(nodes, units)
    return Graph(features, (*nodes, Node(Affine(classes), (len(nodes),))))


def crossed_graph(features: int, units: int, classes: int) -> Graph:
    """A sum of an affine and a rectified value, and one of the input itself: no chain."""
    layers: list[tuple[Layer, tuple[int, ...]]] = [
        (Affine(units), (0,)),
        (Affine(units), (0,)),
        (ReLU(), (2,)),
        (Add(), (1, 3)),
        (Affine(features), (4,)),
        (Add(), (0, 5)),
        (ReLU(), (6,)),
        (Affine(classes), (7,)),
    ]
    return Graph(features, tuple(Node(layer, inputs) for layer, inputs in layers))


def image_graph(pool: Layer, sides: tuple[int, int] = (7, 8), classes: int = 3) -> Graph:
    """Convolutions without padding and with strides, a pooling, dense layers."""
    shape = (*sides, 2)
    layers: list[Layer] = [ToMaps(shape), Convolution(3, (3, 3)), ReLU(), pool]
    layers += [Convolution(4, (2, 2), (1, 2), (1, 0)), ReLU(), Flatten(), Affine(6), ReLU()]
    return chain(sides[0] * sides[1] * 2, [*layers, Affine(classes)])


GRAPHS = {
    "residual": residual_graph(4, 7, 3),
    "crossed": crossed_graph(4, 7, 3),
    "linear": chain(4, [Affine(5), Affine(3)]),
    "one layer": chain(4, [Affine(3)]),
    "average": image_graph(AveragePool((2, 2), (2, 2))),
    "maximum": image_graph(MaxPool((2, 2), (2, 2))),
    "windows that overlap": image_graph(MaxPool((3, 2), (1, 2))),
}


def network(
    graph: Graph, networks: int = 2, seed: int = 0, dtype: torch.dtype = torch.float64
) -> GraphNetwork:
    """Networks of an architecture with normal parameters of variance 2/fan-in."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(networks, *shape, generator=generator, dtype=torch.float64).to(dtype)

    weights, biases = [], []
    for number in graph.parametric:
        (source,), out = graph.inputs_of(number), graph.shapes[number + 1][0]
        kernel: Sequence[int] = getattr(graph.nodes[number].layer, "kernel", ())
        shape = (*kernel, source[0], out)
        fan_in = torch.Size(shape[:-1]).numel()
        weights.append(normal(*shape) * (2.0 / fan_in) ** 0.5)
        biases.append(normal(out) * 0.3)
    return GraphNetwork(graph, weights, biases)
