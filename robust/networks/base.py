"""What a kind of network is: names, initial weights, size. A new kind is one file here.

Legend: P networks in the pack, D input features, K classes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust.checks import check_network
from robust.layers.base import LAYERS
from robust.networks.cnn import CNN
from robust.networks.graph import GraphNetwork
from robust.networks.mlp import MLP
from robust.networks.size import NetworkSize
from robust.registry import Registry

INITIAL_BIAS = 0.1

AnyPack = MLP | CNN | GraphNetwork


@dataclass(frozen=True)
class NetworkKind(ABC):
    """Networks of one architecture, by name.

    Attributes:
        kind: as in the registry and in what defenses and certificates support.
        examples: names of such networks that a message lists first.
        pattern: what such a name looks like, for messages.
        pack: the class of its packs.
        layers: kinds of layers that its networks have: what bounds ask for rules. None are known
            to have none.
    """

    kind: str
    examples: tuple[str, ...]
    pattern: str
    pack: Any
    layers: tuple[str, ...] = ()

    @property
    def rules(self) -> frozenset[str]:
        """What bounds may ask of every one of its layers (`robust.layers.base.RULES`)."""
        return rules_of(self.layers)

    @abstractmethod
    def matches(self, name: str) -> bool:
        """Return whether a name is one of this kind's."""

    @abstractmethod
    def build(
        self,
        name: str,
        num_features: int,
        num_classes: int,
        num_networks: int,
        generator: torch.Generator,
        input_shape: Sequence[int] | None,
    ) -> Any:
        """Return a pack of P equally initialised networks, float32, on the CPU.

        Args:
            name: one that matches.
            num_features: D.
            num_classes: K.
            num_networks: P.
            generator: of the initial weights.
            input_shape: (height, width, channels) of images; None where it is not known.

        Raises:
            ValueError: inputs of a shape that the network does not take.
        """

    def why_no_inputs(self, name: str, input_shape: tuple[int, ...]) -> str | None:
        """Return why such a network takes no inputs of a shape; None if it takes them.

        Args:
            name: one that matches.
            input_shape: (D,), or (height, width, channels) of images.
        """
        return None

    @abstractmethod
    def size(
        self, name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None
    ) -> NetworkSize:
        """Return how large one such network is; arguments and errors as for `build`."""


def rules_of(layers: Iterable[str]) -> frozenset[str]:
    """Return the rules that all of some kinds of layers own; none where none is given.

    Raises:
        ValueError: a kind of layer is unknown.
    """
    own = [LAYERS.get(layer).rules for layer in layers]
    return frozenset.intersection(*own) if own else frozenset()


def rules_of_network(network: object) -> frozenset[str]:
    """Return the rules that all layers of a network own.

    Args:
        network: its name, a pack, or a class of packs.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(network, type):
        kinds = (kind for kind in map(KINDS.get, KINDS) if kind.pack is network)
        return next((kind.rules for kind in kinds), frozenset())
    if isinstance(network, GraphNetwork):
        return rules_of(network.graph.kinds)
    return kind_of(network).rules  # type: ignore[arg-type]


KINDS: Registry[NetworkKind] = Registry("kind of network")


def register(kind: NetworkKind) -> NetworkKind:
    """Add a kind of network to the registry, and so to the grid and the contract tests.

    Raises:
        ValueError: the kind is registered already, or the class of its packs is another kind's.
    """
    for known in map(KINDS.get, KINDS):
        if known.pack is kind.pack:
            raise ValueError(
                f"packs of kind {kind.kind!r} need a class of their own: {kind.pack.__name__} is "
                f"that of kind {known.kind!r}"
            )
    return KINDS.add(kind.kind, kind)


def kind_of(network: str | nn.Module) -> NetworkKind:
    """Return the kind of a network, given its name or a pack.

    Raises:
        ValueError: the name or the class is unknown; the message lists the known ones.
    """
    for kind in map(KINDS.get, KINDS):
        if kind.matches(network) if isinstance(network, str) else type(network) is kind.pack:
            return kind
    if isinstance(network, nn.Module):
        check_network(network)
    shown = repr(network) if isinstance(network, str) else type(network).__name__
    known = [name for kind in map(KINDS.get, KINDS) for name in kind.examples]
    patterns = [f"{kind.pattern}" for kind in map(KINDS.get, KINDS) if kind.pattern]
    raise ValueError(f"unknown network {shown}; known: {', '.join([*known, *patterns])}")


def copies(weights: Sequence[Tensor], num_networks: int) -> list[Tensor]:
    """Return each weight P times, [P, ...]."""
    return [w.expand(num_networks, *w.shape).clone() for w in weights]


def initial_biases(weights: Sequence[Tensor], num_networks: int) -> list[Tensor]:
    """Return the paper's initial biases for weights whose last dimension is the units'."""
    return [torch.full((num_networks, w.shape[-1]), INITIAL_BIAS) for w in weights]


def dense_weights(sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Draw the weights of dense layers between layers of these sizes, each (in, out)."""
    return [
        glorot_uniform((fan_in, fan_out), fan_in, fan_out, generator)
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True)
    ]


def convolution_weights(
    side: int, maps: Sequence[int], generator: torch.Generator
) -> list[Tensor]:
    """Draw the kernels of convolutions between these numbers of maps, each (k, k, in, out)."""
    # The fans count the kernel's area, as TensorFlow's Glorot initialiser does.
    return [
        glorot_uniform((side, side, m, n), side**2 * m, side**2 * n, generator)
        for m, n in zip(maps[:-1], maps[1:], strict=True)
    ]


def image_shape(
    name: str, input_shape: Sequence[int] | None, num_features: int
) -> tuple[int, int, int]:
    """Return (height, width, channels) of a network's images.

    Raises:
        ValueError: the inputs are no images of that many features.
    """
    shape = tuple(input_shape or (num_features,))
    if len(shape) != 3 or math.prod(shape) != num_features:
        raise ValueError(
            f"network {name!r} needs images: input_shape (height, width, channels) of "
            f"{num_features} features, got {shape}"
        )
    return shape


def glorot_uniform(
    shape: tuple[int, ...], fan_in: int, fan_out: int, generator: torch.Generator
) -> Tensor:
    """Draw from U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot, Bengio 2010)."""
    limit = (6.0 / (fan_in + fan_out)) ** 0.5
    unit = torch.rand(shape, generator=generator) * 2 - 1
    return unit.mul_(limit)
