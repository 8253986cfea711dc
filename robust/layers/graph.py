"""A network's architecture: layers and what each of them reads.

Value 0 is the network's input, flat; value i + 1 is what node i makes. The last node is dense, and
its outputs are the logits: bounds of class differences merge it with the difference.

Legend: P networks in the pack, D input features, K classes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from torch import Tensor

from robust.layers.base import LAYERS, Layer, Own, Shape


@dataclass(frozen=True)
class Node:
    """A layer and the numbers of the values that it reads."""

    layer: Layer
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Layers of P networks of one shape.

    Attributes:
        num_features: D.
        nodes: in an order in which each reads only values that were made before it.
    """

    num_features: int
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        """Refuse a graph that is none.

        Raises:
            ValueError: a layer that does not fit its inputs, a value that nobody reads, a last
                layer that is not dense; the message names the node.
        """
        if not self.nodes or self.nodes[-1].layer.kind != "affine":
            raise ValueError("a network must end in a dense layer, which gives the logits")
        if self.shapes[-1][0] < 2:
            raise ValueError(f"a network needs at least two classes, got {self.shapes[-1][0]}")
        read = {source for node in self.nodes for source in node.inputs}
        for value in range(len(self.nodes)):
            if value not in read:
                raise ValueError(f"value {value} is read by no layer")

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of every value, the input's first."""
        shapes: list[Shape] = [(self.num_features,)]
        for number, node in enumerate(self.nodes):
            name = f"layer {number} ({node.layer.kind})"
            if not node.inputs or any(not 0 <= at <= number for at in node.inputs):
                raise ValueError(f"{name} reads the values {node.inputs}, of which some are later")
            try:
                shapes.append(node.layer.output_shape(*(shapes[at] for at in node.inputs)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return tuple(shapes)

    def inputs_of(self, number: int) -> tuple[Shape, ...]:
        """Return the shapes of what a node reads."""
        return tuple(self.shapes[at] for at in self.nodes[number].inputs)

    @cached_property
    def affine_values(self) -> frozenset[int]:
        """The values that are affine in the network's input: no other layer lies before them."""
        found = {0}
        for number, node in enumerate(self.nodes):
            if node.layer.is_linear and found.issuperset(node.inputs):
                found.add(number + 1)
        return frozenset(found)

    def ancestors(self, value: int) -> frozenset[int]:
        """Return the nodes that a value depends on."""
        found: set[int] = set()
        wanted = {value}
        for number in reversed(range(value)):
            if number + 1 in wanted:
                found.add(number)
                wanted.update(self.nodes[number].inputs)
        return frozenset(found)

    @cached_property
    def widest(self) -> int:
        """The most numbers that one of the values has."""
        return max(math.prod(shape) for shape in self.shapes)

    @cached_property
    def parametric(self) -> tuple[int, ...]:
        """The nodes that have parameters."""
        return tuple(n for n, node in enumerate(self.nodes) if node.layer.has_parameters)

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of layers."""
        return frozenset(node.layer.kind for node in self.nodes)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) of the images that come in; None where the input is flat."""
        shape: tuple[int, int, int] | None = getattr(self.nodes[0].layer, "image_shape", None)
        return shape

    def to_json(self) -> str:
        """Return the graph as text, for a file's header."""
        nodes = [
            {"kind": node.layer.kind, "inputs": node.inputs, **node.layer.settings}
            for node in self.nodes
        ]
        return json.dumps({"num_features": self.num_features, "nodes": nodes})

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """Return the graph that `to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: it is not such a text, or the layers do not fit.
        """
        read = json.loads(text)
        return cls(int(read["num_features"]), tuple(map(_node, read["nodes"])))


def _node(read: dict[str, Any]) -> Node:
    settings = {key: value for key, value in read.items() if key not in ("kind", "inputs")}
    return Node(LAYERS.get(read["kind"])(**settings), tuple(map(int, read["inputs"])))


def chain(num_features: int, layers: Sequence[Layer]) -> Graph:
    """Return the graph of layers that each read what the one before made.

    Raises:
        ValueError: as for `Graph`.
    """
    return Graph(num_features, tuple(Node(layer, (i,)) for i, layer in enumerate(layers)))


class Layered(Protocol):
    """P networks whose architecture is a graph; weights and biases in the order of its nodes."""

    @property
    def graph(self) -> Graph:
        """The architecture."""

    @property
    def weights(self) -> Any:
        """Of the layers that have parameters, each [P, ..., in, out]."""

    @property
    def biases(self) -> Any:
        """Of the same layers, each [P, out]."""

    @property
    def num_networks(self) -> int:
        """P."""


@dataclass(frozen=True)
class View:
    """Networks seen through other tensors of the same shapes: wider ones, or absolute values."""

    graph: Graph
    weights: Sequence[Tensor]
    biases: Sequence[Tensor]

    @property
    def num_networks(self) -> int:
        """P."""
        return len(self.weights[0])

    @property
    def num_features(self) -> int:
        """D."""
        return self.graph.num_features

    @property
    def num_classes(self) -> int:
        """K."""
        return self.graph.shapes[-1][0]

    @classmethod
    def in_float64(cls, net: Layered) -> View:
        """Return the float64 view of a pack, differentiable in its parameters."""
        weights, biases = ([p.double() for p in own] for own in (net.weights, net.biases))
        return cls(net.graph, weights, biases)


def owned(net: Layered) -> list[Own | None]:
    """Return every node's parameters; None for layers without."""
    own: list[Own | None] = [None] * len(net.graph.nodes)
    parameters: Iterator[tuple[Tensor, Tensor]] = zip(net.weights, net.biases, strict=True)
    for number, (weight, bias) in zip(net.graph.parametric, parameters, strict=True):
        own[number] = Own(weight, bias)
    return own
