"""Packs of networks, by name."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from robust.checks import check_count, check_seed
from robust.networks import mlp_gradient as mlp_gradient  # registers itself
from robust.networks.cnn import CNN
from robust.networks.convolution import POOL
from robust.networks.linearization import Linearization
from robust.networks.mlp import MLP

__all__ = ["CNN", "MLP", "Linearization", "build", "check_name", "glorot_uniform", "names"]

INITIAL_BIAS = 0.1

_MLP_NAME = re.compile(r"mlp-([1-9]\d?)x([1-9]\d{0,4})")

# Madry's network: maps of each 5 x 5 convolution, then the units of the hidden dense layer.
_CNN_KERNEL, _CNN_MAPS, _CNN_HIDDEN = 5, (32, 64), 1024


def names() -> tuple[str, ...]:
    """The networks of the paper. Any `mlp-LxH` (L hidden layers of H units) is known too."""
    return ("mlp-3x200", "mlp-1x200", "cnn")


def check_name(name: str) -> None:
    """Refuse the name of a network that cannot be built.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    if name not in names() and _MLP_NAME.fullmatch(name) is None:
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
) -> MLP | CNN:
    """Make a pack of equally initialised networks: Glorot uniform weights, biases 0.1.

    All networks of a pack start from the same weights, drawn on the CPU from `seed`, so a
    trial starts alike on every device and in every pack.

    Args:
        name: mlp-3x200, mlp-1x200, mlp-LxH, or cnn.
        num_features: D >= 1.
        num_classes: K >= 2.
        num_networks: P >= 1.
        seed: of the initial weights, in 0..2^64-1.
        input_shape: (height, width, channels), which cnn needs.

    Returns:
        The pack, float32, on the CPU.

    Raises:
        ValueError: the name is unknown; the network needs images and gets none; a count or the
            seed is out of range.
    """
    check_name(name)
    num_features = check_count("num_features", num_features)
    num_classes = check_count("num_classes", num_classes, least=2)
    num_networks = check_count("num_networks", num_networks)
    generator = torch.Generator().manual_seed(check_seed(seed))
    match = _MLP_NAME.fullmatch(name)
    if match is not None:
        depth, width = int(match[1]), int(match[2])
        dense = _dense_weights([num_features, *[width] * depth, num_classes], generator)
        return MLP(_copies(dense, num_networks), _initial_biases(dense, num_networks))
    shape = _image_shape(name, input_shape, num_features)
    weights = _convolution_weights(_CNN_KERNEL, [shape[2], *_CNN_MAPS], generator)
    flat = shape[0] * shape[1] // POOL ** (2 * len(weights)) * _CNN_MAPS[-1]
    weights += _dense_weights([flat, _CNN_HIDDEN, num_classes], generator)
    return CNN(_copies(weights, num_networks), _initial_biases(weights, num_networks), shape)


def _image_shape(
    name: str, input_shape: Sequence[int] | None, num_features: int
) -> tuple[int, int, int]:
    shape = tuple(input_shape or (num_features,))
    if len(shape) != 3 or math.prod(shape) != num_features:
        raise ValueError(
            f"network {name!r} needs images: input_shape (height, width, channels) of "
            f"{num_features} features, got {shape}"
        )
    return shape


def _dense_weights(sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    return [
        glorot_uniform((fan_in, fan_out), fan_in, fan_out, generator)
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True)
    ]


def _convolution_weights(
    side: int, maps: Sequence[int], generator: torch.Generator
) -> list[Tensor]:
    # The fans count the kernel's area, as TensorFlow's Glorot initialiser does.
    return [
        glorot_uniform((side, side, m, n), side**2 * m, side**2 * n, generator)
        for m, n in zip(maps[:-1], maps[1:], strict=True)
    ]


def _copies(weights: Sequence[Tensor], num_networks: int) -> list[Tensor]:
    return [w.expand(num_networks, *w.shape).clone() for w in weights]


def _initial_biases(weights: Sequence[Tensor], num_networks: int) -> list[Tensor]:
    return [torch.full((num_networks, w.shape[-1]), INITIAL_BIAS) for w in weights]


def glorot_uniform(
    shape: tuple[int, ...], fan_in: int, fan_out: int, generator: torch.Generator
) -> Tensor:
    """Draw from U(-a, a) with a = sqrt(6 / (fan_in + fan_out)) (Glorot, Bengio 2010)."""
    limit = (6.0 / (fan_in + fan_out)) ** 0.5
    unit = torch.rand(shape, generator=generator) * 2 - 1
    return unit.mul_(limit)
