"""Convolution for packs: all networks' maps side by side in one grouped call.

On a CPU grouped convolution is as fast as a loop over the networks or faster, and several times
faster than products over unfolded patches.

Legend: P networks in the pack, B batch, U linear forms per example, M maps (channels of one
network), R x S rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from robust.layers.base import LinearLayer, Own, Shape, on_rows, register
from robust.layers.windows import Pair, check_pair, sides_after
from robust.numerics.precision import products_are_shortened


def convolve(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Pair = (1, 1),
    padding: Pair | None = None,
) -> Tensor:
    """Convolve, every network with its own kernels.

    Args:
        maps: [B, in, R, S], shared by all networks, or [B, P*in, R, S].
        weight: [P, k, l, in, out].
        bias: [P, out].
        stride: of rows and columns.
        padding: rows and columns of zeros on each side; None for as many as keep R x S (odd
            kernels).

    Returns:
        [B, P*out, R', S'].
    """
    groups = maps.shape[1] // weight.shape[3]
    flat = None if bias is None else bias.flatten()
    pad = same_padding(weight) if padding is None else padding
    with _like_other_products():
        return functional.conv2d(
            maps, _kernels(weight), flat, stride=stride, padding=pad, groups=groups
        )


def convolve_transposed(
    maps: Tensor,
    weight: Tensor,
    stride: Pair = (1, 1),
    padding: Pair | None = None,
    beyond: Pair = (0, 0),
) -> Tensor:
    """Apply the transposed convolution: [B, P*out, R', S'] -> [B, P*in, R, S].

    Args:
        maps, weight, stride, padding: as for `convolve`.
        beyond: rows and columns of the input that the last window leaves out.
    """
    pad = same_padding(weight) if padding is None else padding
    with _like_other_products():
        return functional.conv_transpose2d(
            maps,
            _kernels(weight),
            stride=stride,
            padding=pad,
            output_padding=beyond,
            groups=weight.shape[0],
        )


def same_padding(weight: Tensor) -> Pair:
    """Return the padding that keeps rows and columns at stride 1, for odd kernels."""
    return weight.shape[1] // 2, weight.shape[2] // 2


def _like_other_products() -> AbstractContextManager[None]:
    """Round factors where matrix products may: left to itself cuDNN does, to ten bits."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, allow_tf32=products_are_shortened()
    )
    return flags


def _kernels(weight: Tensor) -> Tensor:
    """Return [P, k, l, in, out] as torch wants it, [P*out, in, k, l]."""
    return weight.permute(0, 4, 3, 1, 2).flatten(0, 1)


@register
@dataclass(frozen=True)
class Convolution(LinearLayer):
    """A convolution with zero padding.

    Attributes:
        maps: how many outputs maps it has.
        kernel: rows and columns of its kernels.
        stride, padding: of rows and columns.
    """

    kind = "convolution"
    has_parameters = True

    maps: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for pairs."""
        for name, least in (("kernel", 1), ("stride", 1), ("padding", 0)):
            object.__setattr__(self, name, check_pair(name, getattr(self, name), least))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (maps, rows, columns)."""
        if len(inputs) != 1 or len(inputs[0]) != 3:
            raise ValueError(f"a convolution takes one input of maps, got {list(inputs)}")
        sides = sides_after(inputs[0][1:], self.kernel, self.stride, self.padding)
        return (self.maps, *sides)

    def forward(self, own: Own | None, *inputs: Tensor) -> Tensor:
        """Return the convolution with bias, [P, ..., M, R', S']."""
        assert own is not None
        return self._convolved(own.weight, own.bias, inputs[0])

    def product(self, weight: Tensor | None, *inputs: Tensor) -> Tensor:
        """Return the convolution without bias."""
        assert weight is not None
        return self._convolved(weight, None, inputs[0])

    def _convolved(self, weight: Tensor, bias: Tensor | None, h: Tensor) -> Tensor:
        def packed(maps: Tensor) -> Tensor:
            out = convolve(_beside(maps), weight, bias, self.stride, self.padding)
            return _apart(out, len(weight))

        return on_rows(packed, h, 3)

    def transposed(
        self, weight: Tensor | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the transposed convolution, [P, B, U, in, R, S]."""
        assert weight is not None
        sides = zip(inputs[0][1:], self.kernel, self.stride, self.padding, strict=True)
        rows, columns = ((side + 2 * pad - k) % step for side, k, step, pad in sides)

        def packed(maps: Tensor) -> Tensor:
            back = convolve_transposed(
                _beside(maps), weight, self.stride, self.padding, (rows, columns)
            )
            return _apart(back, len(weight))

        return (on_rows(packed, forms, 3),)

    def shift(self, bias: Tensor | None, forms: Tensor) -> Tensor | float:
        """Return a'b, every map's bias times the sum of its coefficients, [P, B, U]."""
        assert bias is not None
        summed = forms.sum(dim=(-2, -1))
        return torch.matmul(summed, bias.view(bias.shape[0], 1, -1, 1)).squeeze(3)

    def num_parameters(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return the kernels and one bias a map."""
        return (self.kernel[0] * self.kernel[1] * inputs[0][0] + 1) * self.maps

    def products(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return one kernel's products for every output."""
        maps, rows, columns = output
        return self.kernel[0] * self.kernel[1] * inputs[0][0] * maps * rows * columns

    def roundings(self, own: Own | None) -> int:
        """Return the fan-in, and what the bias and a ReLU's line behind it may add."""
        assert own is not None
        return own.weight[0, ..., 0].numel() + 8


def _beside(maps: Tensor) -> Tensor:
    """Put the networks' maps side by side: [P, N, M, R, S] -> [N, P*M, R, S]."""
    return maps.transpose(0, 1).flatten(1, 2)


def _apart(maps: Tensor, networks: int) -> Tensor:
    """Undo `_beside`: [N, P*M, R, S] -> [P, N, M, R, S]."""
    own = maps.view(maps.shape[0], networks, -1, *maps.shape[2:])
    return own.transpose(0, 1).contiguous()
