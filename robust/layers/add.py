"""The sum of two values, which closes a residual block: a linear layer of two inputs.

Legend: P networks in the pack, B batch, U linear forms per example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from robust.layers.base import LinearLayer, Own, Shape, register


@register
@dataclass(frozen=True)
class Add(LinearLayer):
    """h_1 + h_2."""

    kind = "add"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape that both have."""
        if len(inputs) != 2 or inputs[0] != inputs[1]:
            raise ValueError(f"a sum takes two inputs of one shape, got {list(inputs)}")
        return inputs[0]

    def product(self, weight: Tensor | None, *inputs: Tensor) -> Tensor:
        """Return the sum."""
        return inputs[0] + inputs[1]

    def transposed(
        self, weight: Tensor | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[Tensor, ...]:
        """Return a for both."""
        return forms, forms

    def roundings(self, own: Own | None) -> int:
        """Return that of the sum."""
        return 1
