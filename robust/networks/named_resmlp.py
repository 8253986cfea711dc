"""`resmlp-LxH`: a dense layer of H units, then L residual blocks (He et al. 2016, made dense).

    h <- [W x + b]^+,    then L times    h <- [h + W''[W'h + b']^+ + b'']^+,

and the logits.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from robust.layers.add import Add
from robust.layers.affine import Affine
from robust.layers.base import Layer
from robust.layers.graph import Graph, Node
from robust.layers.relu import ReLU
from robust.networks.base import NetworkKind, copies, dense_weights, initial_biases, register
from robust.networks.graph import GraphNetwork, size_of
from robust.networks.size import NetworkSize

_NAME = re.compile(r"resmlp-([1-9]\d?)x([1-9]\d{0,4})")


class ResMLP(GraphNetwork):
    """P residual multi-layer perceptrons."""


@dataclass(frozen=True)
class NamedResMLP(NetworkKind):
    """Residual multi-layer perceptrons with blocks of one width."""

    def matches(self, name: str) -> bool:
        """Return whether the name is resmlp-LxH."""
        return _NAME.fullmatch(name) is not None

    def build(
        self,
        name: str,
        num_features: int,
        num_classes: int,
        num_networks: int,
        generator: torch.Generator,
        input_shape: Sequence[int] | None,
    ) -> ResMLP:
        """Return P networks with Glorot uniform weights and biases 0.1."""
        depth, width = _depth_and_width(name)
        sizes = [num_features, *[width] * (2 * depth + 1), num_classes]
        weights = dense_weights(sizes, generator)
        return ResMLP(
            _graph(name, num_features, num_classes),
            copies(weights, num_networks),
            initial_biases(weights, num_networks),
        )

    def size(
        self, name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None
    ) -> NetworkSize:
        """Return the size of one network."""
        return size_of(_graph(name, num_features, num_classes))


def _depth_and_width(name: str) -> tuple[int, int]:
    match = _NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1]), int(match[2])


def _graph(name: str, num_features: int, num_classes: int) -> Graph:
    depth, width = _depth_and_width(name)
    nodes = [Node(Affine(width), (0,)), Node(ReLU(), (1,))]
    for _ in range(depth):
        trunk = len(nodes)  # the value that the block reads and adds to
        block: list[Layer] = [Affine(width), ReLU(), Affine(width)]
        nodes += [Node(layer, (trunk + i,)) for i, layer in enumerate(block)]
        nodes += [Node(Add(), (trunk, trunk + 3)), Node(ReLU(), (trunk + 4,))]
    return Graph(num_features, (*nodes, Node(Affine(num_classes), (len(nodes),))))


register(
    NamedResMLP(
        kind="resmlp",
        examples=("resmlp-2x64",),
        pattern="resmlp-LxH with L residual blocks of H units",
        pack=ResMLP,
        layers=("affine", "relu", "add"),
    )
)
