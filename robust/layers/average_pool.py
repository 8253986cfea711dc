"""Average-pooling: the mean of each window, a linear layer.

Legend: P networks in the pack, B batch, U linear forms per example, M maps, R x S rows and
columns, R' x S' windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from robust.layers.base import LinearLayer, Own, Shape, register
from robust.layers.windows import Pair, check_pair, members, sides_after, spread


@register
@dataclass(frozen=True)
class AveragePool(LinearLayer):
    """Average-pooling without padding; rows and columns beyond the last window are left out.

    Attributes:
        kernel: rows and columns of a window.
        stride: from window to window.
    """

    kind = "average-pool"

    kernel: Pair
    stride: Pair

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for pairs."""
        for name in ("kernel", "stride"):
            object.__setattr__(self, name, check_pair(name, getattr(self, name), 1))

    @property
    def _area(self) -> int:
        return self.kernel[0] * self.kernel[1]

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (maps, windows by rows, by columns)."""
        if len(inputs) != 1 or len(inputs[0]) != 3:
            raise ValueError(f"average-pooling takes one input of maps, got {list(inputs)}")
        return (inputs[0][0], *sides_after(inputs[0][1:], self.kernel, self.stride))

    def product(self, weight: Tensor | None, *inputs: Tensor) -> Tensor:
        """Return the mean of each window, [P, ..., M, R', S']."""
        after = sides_after(inputs[0].shape[-2:], self.kernel, self.stride)
        first, *others = members(inputs[0], self.kernel, self.stride, after)
        for other in others:
            first = first + other
        return first / self._area

    def transposed(
        self, weight: Tensor | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[Tensor, ...]:
        """Return a/(k l) at every member, [P, B, U, M, R, S]."""
        return (spread(forms / self._area, None, self.kernel, self.stride, inputs[0][1:]),)

    def roundings(self, own: Own | None) -> int:
        """Return the members of a window, summed and divided."""
        return self._area + 1
