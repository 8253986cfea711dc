"""Flat values as maps and back: two layers that only reorder.

Flat, units stand in the order (rows, columns, maps), as the project's images do; as maps in the
order (maps, rows, columns), as torch's do.

Legend: P networks in the pack, B batch, U linear forms per example, M maps, R x S rows and
columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from robust.layers.base import LinearLayer, Shape, register


def _as_maps(flat: Tensor, shape: Sequence[int]) -> Tensor:
    """Return [..., R*S*M] as [..., M, R, S]; `shape` is (R, S, M)."""
    return flat.view(*flat.shape[:-1], *shape).movedim(-1, -3)


def _as_units(maps: Tensor) -> Tensor:
    """Return [..., M, R, S] as [..., R*S*M]."""
    return maps.movedim(-3, -1).flatten(-3)


@register
@dataclass(frozen=True)
class ToMaps(LinearLayer):
    """Flat images as maps.

    Attributes:
        image_shape: (rows, columns, maps).
    """

    kind = "to-maps"
    keeps_outputs = False

    image_shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        """Take a list, as JSON has it."""
        sides = tuple(self.image_shape)
        if len(sides) != 3 or any(not isinstance(side, int) or side < 1 for side in sides):
            raise ValueError(
                f"images have a shape (height, width, channels) of whole numbers, got {sides}"
            )
        object.__setattr__(self, "image_shape", sides)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (maps, rows, columns)."""
        if list(inputs) != [(math.prod(self.image_shape),)]:
            raise ValueError(
                f"images of shape {self.image_shape} have {math.prod(self.image_shape)} "
                f"features, got {list(inputs)}"
            )
        rows, columns, maps = self.image_shape
        return maps, rows, columns

    def product(self, weight: Tensor | None, *inputs: Tensor) -> Tensor:
        """Return the same numbers as maps."""
        return _as_maps(inputs[0], self.image_shape)

    def transposed(
        self, weight: Tensor | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the same numbers flat."""
        return (_as_units(forms),)


@register
@dataclass(frozen=True)
class Flatten(LinearLayer):
    """Maps as the flat units of a dense layer."""

    kind = "flatten"
    keeps_outputs = False

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (units,)."""
        if len(inputs) != 1 or len(inputs[0]) != 3:
            raise ValueError(f"flattening takes one input of maps, got {list(inputs)}")
        return (math.prod(inputs[0]),)

    def product(self, weight: Tensor | None, *inputs: Tensor) -> Tensor:
        """Return the same numbers flat."""
        return _as_units(inputs[0])

    def transposed(
        self, weight: Tensor | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the same numbers as maps."""
        maps, rows, columns = inputs[0]
        return (_as_maps(forms, (rows, columns, maps)),)
