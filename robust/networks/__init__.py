"""Packs of networks, by name. A new kind of network is a new module in this folder."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robust.checks import check_count, check_seed
from robust.networks.base import KINDS, AnyPack, kind_of
from robust.networks.cnn import CNN
from robust.networks.files import load, read_metadata, save
from robust.networks.graph import GraphNetwork
from robust.networks.linearization import Linearization
from robust.networks.mlp import MLP
from robust.networks.modules import Residual
from robust.networks.sequential import from_sequential
from robust.networks.size import NetworkSize
from robust.registry import discover

__all__ = [
    "CNN",
    "MLP",
    "AnyPack",
    "GraphNetwork",
    "Linearization",
    "NetworkSize",
    "Residual",
    "build",
    "check_name",
    "from_sequential",
    "kind_of",
    "load",
    "names",
    "read_metadata",
    "save",
    "size",
]

discover(__name__)


def names() -> tuple[str, ...]:
    """The paper's networks and an example of every other kind; any `mlp-LxH` is known too."""
    return tuple(name for kind in KINDS for name in KINDS.get(kind).examples)


def check_name(name: str) -> None:
    """Refuse the name of a network that cannot be built.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    kind_of(name)


def build(
    name: str,
    num_features: int,
    num_classes: int,
    num_networks: int,
    seed: int,
    input_shape: Sequence[int] | None = None,
) -> AnyPack:
    """Make a pack of equally initialised networks: Glorot uniform weights, biases 0.1.

    All networks of a pack start from the same weights, drawn on the CPU from `seed`, so a
    trial starts alike on every device and in every pack.

    Args:
        name: mlp-3x200, mlp-1x200, mlp-LxH, resmlp-LxH, cnn or lenet.
        num_features: D >= 1.
        num_classes: K >= 2.
        num_networks: P >= 1.
        seed: of the initial weights, in 0..2^64-1.
        input_shape: (height, width, channels), which cnn and lenet need.

    Returns:
        The pack, float32, on the CPU.

    Raises:
        ValueError: the name is unknown; the network needs images and gets none; a count or the
            seed is out of range.
    """
    num_features = check_count("num_features", num_features)
    num_classes = check_count("num_classes", num_classes, least=2)
    num_networks = check_count("num_networks", num_networks)
    generator = torch.Generator().manual_seed(check_seed(seed))
    pack: AnyPack = kind_of(name).build(
        name, num_features, num_classes, num_networks, generator, input_shape
    )
    return pack


def size(
    name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None = None
) -> NetworkSize:
    """Return how large one network is, which its cost depends on; as for `build`."""
    return kind_of(name).size(name, num_features, num_classes, input_shape)
