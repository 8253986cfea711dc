"""`cnn`: Madry's network (Madry et al. 2018; the paper's Appendix C).

Two stages of a 5 x 5 convolution (32, then 64 maps), ReLU and 2 x 2 max-pooling, a dense layer of
1,024 units, the logits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from robust.networks.base import (
    NetworkKind,
    convolution_weights,
    copies,
    dense_weights,
    image_shape,
    initial_biases,
    register,
)
from robust.networks.cnn import CNN
from robust.networks.convolution import POOL
from robust.networks.size import NetworkSize

_KERNEL, _MAPS, _HIDDEN = 5, (32, 64), 1024


@dataclass(frozen=True)
class MadryCNN(NetworkKind):
    """Madry's convolutional network."""

    def matches(self, name: str) -> bool:
        """Return whether the name is cnn."""
        return name == "cnn"

    def build(
        self,
        name: str,
        num_features: int,
        num_classes: int,
        num_networks: int,
        generator: torch.Generator,
        input_shape: Sequence[int] | None,
    ) -> CNN:
        """Return P networks with Glorot uniform weights and biases 0.1."""
        shape = image_shape(name, input_shape, num_features)
        weights = convolution_weights(_KERNEL, [shape[2], *_MAPS], generator)
        flat = shape[0] * shape[1] // POOL ** (2 * len(weights)) * _MAPS[-1]
        weights += dense_weights([flat, _HIDDEN, num_classes], generator)
        return CNN(copies(weights, num_networks), initial_biases(weights, num_networks), shape)

    def why_no_inputs(self, name: str, input_shape: tuple[int, ...]) -> str | None:
        """Return why; images must have sides that both poolings halve."""
        if len(input_shape) != 3:
            return f"has {math.prod(input_shape)} flat features, and network {name!r} needs images"
        window = POOL ** len(_MAPS)
        height, width, _ = input_shape
        if min(input_shape) < 1 or height % window or width % window:
            return (
                f"has images of {height} x {width} pixels, and network {name!r} needs sides "
                f"that are multiples of {window}"
            )
        return None

    def size(
        self, name: str, num_features: int, num_classes: int, input_shape: Sequence[int] | None
    ) -> NetworkSize:
        """Return the size of one network."""
        height, width, channels = image_shape(name, input_shape, num_features)
        pixels, area = height * width, _KERNEL**2
        first = pixels * area * channels * _MAPS[0]
        second = pixels // POOL**2 * area * _MAPS[0] * _MAPS[1]
        dense = pixels // POOL**4 * _MAPS[1] * _HIDDEN + _HIDDEN * num_classes
        kernels = area * channels * _MAPS[0] + area * _MAPS[0] * _MAPS[1]
        # A stage keeps its maps before and after pooling.
        kept = _MAPS[0] * (1 + 1 / POOL**2), _MAPS[1] * (1 + 1 / POOL**2)
        return NetworkSize(
            num_features=num_features,
            num_classes=num_classes,
            parameters=kernels + dense,
            products=first + second + dense,
            first_layer=first,
            last_layer=_HIDDEN * num_classes,
            units=round(pixels * kept[0] + pixels // POOL**2 * kept[1]) + _HIDDEN,
        )


register(
    MadryCNN(
        kind="cnn",
        examples=("cnn",),
        pattern="",
        pack=CNN,
        layers=("to-maps", "convolution", "relu", "max-pool", "flatten", "affine"),
    )
)
