"""An example or more of every kind of layer, with random parameters and inputs.

Legend: P networks in the pack, B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.layers.add import Add
from robust.layers.affine import Affine
from robust.layers.average_pool import AveragePool
from robust.layers.base import Layer, Own, Shape
from robust.layers.convolution import Convolution
from robust.layers.flatten import Flatten, ToMaps
from robust.layers.max_pool import MaxPool
from robust.layers.relu import ReLU

PACK, BATCH = 2, 3


@dataclass(frozen=True)
class Example:
    """A layer and the shapes of its inputs."""

    layer: Layer
    shapes: tuple[Shape, ...]

    def own(self, seed: int = 0) -> Own | None:
        """Parameters of both networks, float64; None for layers without."""
        if not self.layer.has_parameters:
            return None
        kernel = getattr(self.layer, "kernel", ())
        out = self.layer.output_shape(*self.shapes)[0]
        weight = drawn(PACK, *kernel, self.shapes[0][0], out, seed=seed)
        return Own(weight, drawn(PACK, out, seed=seed + 1))

    def inputs(self, seed: int = 0) -> list[Tensor]:
        """Normal inputs, each [P, B, *shape]."""
        return [drawn(PACK, BATCH, *s, seed=seed + i) for i, s in enumerate(self.shapes)]


EXAMPLES = {
    "affine": Example(Affine(4), ((5,),)),
    "convolution": Example(Convolution(3, (3, 3), (1, 1), (1, 1)), ((2, 4, 5),)),
    "convolution without padding": Example(Convolution(3, (3, 2)), ((2, 4, 5),)),
    "convolution with strides": Example(Convolution(2, (3, 2), (2, 3), (1, 0)), ((2, 6, 7),)),
    "relu": Example(ReLU(), ((6,),)),
    "relu of maps": Example(ReLU(), ((2, 3, 2),)),
    "max-pool": Example(MaxPool((2, 2), (2, 2)), ((2, 4, 6),)),
    "max-pool of windows that overlap": Example(MaxPool((3, 2), (1, 2)), ((2, 5, 5),)),
    "average-pool": Example(AveragePool((2, 2), (2, 2)), ((2, 4, 6),)),
    "average-pool of windows that overlap": Example(AveragePool((3, 2), (1, 2)), ((2, 5, 5),)),
    "to-maps": Example(ToMaps((3, 2, 2)), ((12,),)),
    "flatten": Example(Flatten(), ((2, 3, 2),)),
    "add": Example(Add(), ((5,), (5,))),
    "add of maps": Example(Add(), ((2, 3, 2), (2, 3, 2))),
}


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def within(lows: Sequence[Tensor], highs: Sequence[Tensor], seed: int) -> list[Tensor]:
    """A point of each box; every third coordinate lies at an end."""
    points = []
    for i, (low, high) in enumerate(zip(lows, highs, strict=True)):
        generator = torch.Generator().manual_seed(seed + i)
        share = torch.rand(low.shape, generator=generator, dtype=low.dtype)
        end = torch.rand(low.shape, generator=generator) < 1 / 3
        points.append(low + torch.where(end, share.round(), share) * (high - low))
    return points
