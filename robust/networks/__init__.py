"""Packs of networks, by name."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from robust.networks.linearization import Linearization
from robust.networks.mlp import MLP

__all__ = ["MLP", "Linearization", "build", "check_name", "glorot_uniform", "names"]

INITIAL_BIAS = 0.1

_MLP_NAME = re.compile(r"mlp-([1-9]\d?)x([1-9]\d{0,4})")


def names() -> tuple[str, ...]:
    """The networks of the paper. Any `mlp-LxH` (L hidden layers of H units) is known too."""
    return ("mlp-3x200", "mlp-1x200")


def check_name(name: str) -> None:
    """Refuse the name of a network that cannot be built.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    if _MLP_NAME.fullmatch(name) is None:
        raise ValueError(
            f"unknown network {name!r}; known: {', '.join(names())}, "
            "or mlp-LxH with L hidden layers of H units"
        )


def build(
    name: str,
    num_features: int,
    num_classes: int,
    num_networks: int,
    seed: int,
    input_shape: Sequence[int] | None = None,
) -> MLP:
    """Make a pack of equally initialised networks: Glorot uniform weights, biases 0.1.

    All networks of a pack start from the same weights, drawn on the CPU from `seed`, so a
    trial starts alike on every device and in every pack.

    Args:
        name: mlp-3x200, mlp-1x200, or mlp-LxH.
        num_features: D.
        num_classes: K.
        num_networks: P.
        seed: of the initial weights.
        input_shape: for networks that need one.

    Returns:
        The pack, float32, on the CPU.

    Raises:
        ValueError: the name is unknown.
    """
    check_name(name)
    match = _MLP_NAME.fullmatch(name)
    assert match is not None
    depth, width = int(match[1]), int(match[2])
    sizes = [num_features, *[width] * depth, num_classes]
    generator = torch.Generator().manual_seed(seed)
    weights = [
        glorot_uniform((fan_in, fan_out), fan_in, fan_out, generator)
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    return MLP(
        [w.expand(num_networks, -1, -1).clone() for w in weights],
        [torch.full((num_networks, size), INITIAL_BIAS) for size in sizes[1:]],
    )


def glorot_uniform(
    shape: tuple[int, ...], fan_in: int, fan_out: int, generator: torch.Generator
) -> Tensor:
    """Draw from U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot, Bengio 2010)."""
    limit = (6.0 / (fan_in + fan_out)) ** 0.5
    unit = torch.rand(shape, generator=generator) * 2 - 1
    return unit.mul_(limit)
