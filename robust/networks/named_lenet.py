"""`lenet`: LeNet-5's layers with ReLU (LeCun et al. 1998).

Convolution 5 x 5 to 6 maps, average-pooling 2 x 2, convolution 5 x 5 to 16 maps, average-pooling
2 x 2, dense layers of 120 and 84 units, the logits; no padding, a ReLU behind every layer but the
last. Images of 28 x 28 become 16 maps of 4 x 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from robust.layers.affine import Affine
from robust.layers.average_pool import AveragePool
from robust.layers.base import Layer
from robust.layers.convolution import Convolution
from robust.layers.flatten import Flatten, ToMaps
from robust.layers.graph import Graph, chain
from robust.layers.relu import ReLU
from robust.networks.base import (
    NetworkKind,
    convolution_weights,
    copies,
    dense_weights,
    image_shape,
    initial_biases,
    register,
)
from robust.networks.graph import GraphNetwork, size_of
from robust.networks.size import NetworkSize

_KERNEL, _POOL, _MAPS, _HIDDEN = 5, 2, (6, 16), (120, 84)
SMALLEST = 16  # side of an image of which the second pooling leaves something


class LeNet(GraphNetwork):
    """P networks with LeNet's layers."""


@dataclass(frozen=True)
class NamedLeNet(NetworkKind):
    """LeNet-5's layers with ReLU."""

    def matches(self, name: str) -> bool:
        """Return whether the name is lenet."""
        return name == "lenet"

    def build(
        self,
        name: str,
        num_features: int,
        num_classes: int,
        num_networks: int,
        generator: torch.Generator,
        input_shape: Sequence[int] | None,
    ) -> LeNet:
        """Return P networks with Glorot uniform weights and biases 0.1."""
        shape = image_shape(name, input_shape, num_features)
        graph = _graph(name, shape, num_classes)
        weights = convolution_weights(_KERNEL, [shape[2], *_MAPS], generator)
        flat = graph.inputs_of(graph.parametric[len(_MAPS)])[0][0]
        weights += dense_weights([flat, *_HIDDEN, num_classes], generator)
        return LeNet(graph, copies(weights, num_networks), initial_biases(weights, num_networks))

    def why_no_inputs(self, name: str, input_shape: tuple[int, ...]) -> str | None:
        """Return why; images must be large enough for both stages."""
        if len(input_shape) != 3:
            return f"has {math.prod(input_shape)} flat features, and network {name!r} needs images"
        height, width, channels = input_shape
        if min(height, width) < SMALLEST or channels < 1:
            return (
                f"has images of {height} x {width} pixels, and network {name!r} needs sides of "
                f"at least {SMALLEST}"
            )
        return None

    def size(
        self, name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None
    ) -> NetworkSize:
        """Return the size of one network."""
        return size_of(_graph(name, image_shape(name, input_shape, num_features), num_classes))


def _graph(name: str, shape: tuple[int, int, int], num_classes: int) -> Graph:
    layers: list[Layer] = [ToMaps(shape)]
    for maps in _MAPS:
        layers += [Convolution(maps, (_KERNEL, _KERNEL)), ReLU()]
        layers.append(AveragePool((_POOL, _POOL), (_POOL, _POOL)))
    layers.append(Flatten())
    for units in _HIDDEN:
        layers += [Affine(units), ReLU()]
    try:
        return chain(math.prod(shape), [*layers, Affine(num_classes)])
    except ValueError as error:
        raise ValueError(f"network {name!r}: {error}") from None


register(
    NamedLeNet(
        kind="lenet",
        examples=("lenet",),
        pattern="",
        pack=LeNet,
        layers=("to-maps", "convolution", "relu", "average-pool", "flatten", "affine"),
    )
)
