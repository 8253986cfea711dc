"""A dense layer h W + b.

Legend: P networks in the pack, B batch, U linear forms per example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.layers.base import LinearLayer, Own, Shape, on_rows, register


def affine(h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return h W + b for every network of the pack.

    Args:
        h: [B, in], shared by all networks, or [P, B, in].
        weight: [P, in, out].
        bias: [P, out].

    Returns:
        [P, B, out].
    """
    if h.dim() == 2:
        # One product for the whole pack: the networks' weights stand side by side.
        return torch.matmul(h, weight) + bias.unsqueeze(1)
    return torch.baddbmm(bias.unsqueeze(1), h, weight)


@register
@dataclass(frozen=True)
class Affine(LinearLayer):
    """A dense layer.

    Attributes:
        units: how many outputs it has.
    """

    kind = "affine"
    has_parameters = True

    units: int

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (units,); the inputs must be flat."""
        if len(inputs) != 1 or len(inputs[0]) != 1:
            raise ValueError(f"a dense layer takes one flat input, got {list(inputs)}")
        return (self.units,)

    def forward(self, own: Own | None, *inputs: Tensor) -> Tensor:
        """Return h W + b, [P, ..., out]."""
        assert own is not None
        return on_rows(lambda h: affine(h, own.weight, own.bias), inputs[0], 1)

    def product(self, weight: Tensor | None, *inputs: Tensor) -> Tensor:
        """Return h W, [P, ..., out]."""
        assert weight is not None
        return on_rows(lambda h: torch.bmm(h, weight), inputs[0], 1)

    def transposed(
        self, weight: Tensor | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[Tensor, ...]:
        """Return a W', [P, B, U, in]."""
        assert weight is not None
        return (on_rows(lambda a: torch.bmm(a, weight.mT), forms, 1),)

    def shift(self, bias: Tensor | None, forms: Tensor) -> Tensor | float:
        """Return a'b, [P, B, U]."""
        assert bias is not None
        return torch.matmul(forms, bias.view(bias.shape[0], 1, -1, 1)).squeeze(3)

    def num_parameters(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return in x out + out."""
        return (inputs[0][0] + 1) * self.units

    def products(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return in x out."""
        return inputs[0][0] * self.units

    def roundings(self, own: Own | None) -> int:
        """Return the fan-in, and what the bias and a ReLU's line behind it may add."""
        assert own is not None
        return own.weight.shape[1] + 8
