"""`funnel-AxB`: a hidden layer of A units and one of B."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from robust.networks.base import NetworkKind, copies, dense_weights, initial_biases, register
from robust.networks.mlp import MLP
from robust.networks.size import NetworkSize

NAME = re.compile(r"funnel-([1-9]\d{0,3})x([1-9]\d{0,3})")


class Funnel(MLP):
    """P networks with two hidden layers."""


@dataclass(frozen=True)
class NamedFunnel(NetworkKind):
    """Networks with two hidden layers of their own widths."""

    def matches(self, name: str) -> bool:
        """Return whether the name is funnel-AxB."""
        return NAME.fullmatch(name) is not None

    def build(
        self,
        name: str,
        num_features: int,
        num_classes: int,
        num_networks: int,
        generator: torch.Generator,
        input_shape: Sequence[int] | None,
    ) -> Funnel:
        """Return P networks with Glorot uniform weights and biases 0.1."""
        weights = dense_weights([num_features, *widths(name), num_classes], generator)
        return Funnel(copies(weights, num_networks), initial_biases(weights, num_networks))

    def size(
        self, name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None
    ) -> NetworkSize:
        """Return the size of one network."""
        wide, narrow = widths(name)
        products = num_features * wide + wide * narrow + narrow * num_classes
        units = wide + narrow + num_classes
        return NetworkSize(
            num_features=num_features,
            num_classes=num_classes,
            parameters=products + units,
            products=products,
            first_layer=num_features * wide,
            last_layer=narrow * num_classes,
            units=units,
            dual=num_features * wide * narrow,
        )


def widths(name: str) -> tuple[int, int]:
    """Return A and B."""
    match = NAME.fullmatch(name)
    assert match is not None, name
    return int(match[1]), int(match[2])


register(
    NamedFunnel("funnel", ("funnel-16x4",), "funnel-AxB with layers of A and B units", Funnel)
)
