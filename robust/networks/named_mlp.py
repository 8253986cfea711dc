"""`mlp-LxH`: L hidden layers of H units (the paper's mlp-3x200, its authors' mlp-1x200)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from robust.networks.base import (
    NetworkKind,
    copies,
    dense_weights,
    initial_biases,
    register,
)
from robust.networks.mlp import MLP
from robust.networks.size import NetworkSize

_NAME = re.compile(r"mlp-([1-9]\d?)x([1-9]\d{0,4})")


@dataclass(frozen=True)
class NamedMLP(NetworkKind):
    """Multi-layer perceptrons with hidden layers of one width."""

    def matches(self, name: str) -> bool:
        """Return whether the name is mlp-LxH."""
        return _NAME.fullmatch(name) is not None

    def build(
        self,
        name: str,
        num_features: int,
        num_classes: int,
        num_networks: int,
        generator: torch.Generator,
        input_shape: Sequence[int] | None,
    ) -> MLP:
        """Return P networks with Glorot uniform weights and biases 0.1."""
        weights = dense_weights(_sizes(name, num_features, num_classes), generator)
        return MLP(copies(weights, num_networks), initial_biases(weights, num_networks))

    def size(
        self, name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None
    ) -> NetworkSize:
        """Return the size of one network."""
        sizes = _sizes(name, num_features, num_classes)
        hidden = sizes[1:-1]
        depth, width = len(hidden), hidden[0]
        products = sum(a * b for a, b in zip(sizes, sizes[1:], strict=False))
        to_input = (width * num_features * width + width**3 * below for below in range(depth - 1))
        return NetworkSize(
            num_features=num_features,
            num_classes=num_classes,
            parameters=products + sum(sizes[1:]),
            products=products,
            first_layer=num_features * width,
            last_layer=width * num_classes,
            units=sum(sizes[1:]),
            dual=sum(to_input),
        )


def _sizes(name: str, num_features: int, num_classes: int) -> list[int]:
    match = _NAME.fullmatch(name)
    assert match is not None, name
    depth, width = int(match[1]), int(match[2])
    return [num_features, *[width] * depth, num_classes]


register(
    NamedMLP(
        kind="mlp",
        examples=("mlp-3x200", "mlp-1x200"),
        pattern="mlp-LxH with L hidden layers of H units",
        pack=MLP,
        layers=("affine", "relu"),
    )
)
