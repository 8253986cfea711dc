"""Max-pooling: the largest member of each window, h = max_i z_i.

- It does not decrease in any member: a box goes through as it is.
- RUB: max_i z_i <= max_i u_i, which is convex, and -max_i z_i <= -z_w <= v_w for any one member
  w; the one that is largest at x makes the bound exact there (docs/rub-bound.md).
- Lines on a box: z_w is below it for any w; the member with the largest l + u is taken, as for
  ReLU. For the line above let i be the member with the largest u_i and m = max(l_i, u_j over the
  others j). Then h <= max(z_i, m), convex in z_i, and so below its chord
  m + (u_i - m)(z_i - l_i)/(u_i - l_i). With m = 0 >= l_i that is ReLU's. It is exact, z_i, where
  all others lie below l_i.

Legend: P networks in the pack, B batch, V vertices, U linear forms per example, M maps,
R x S rows and columns, R' x S' windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.layers.base import RULES, Box, Layer, Lines, Own, Shape, paired, register
from robust.layers.streams import Streams, sides
from robust.layers.windows import Pair, check_pair, members, picked, sides_after, spread


@register
@dataclass(frozen=True)
class MaxPool(Layer):
    """Max-pooling without padding; rows and columns beyond the last window are left out.

    Attributes:
        kernel: rows and columns of a window.
        stride: from window to window.
    """

    kind = "max-pool"
    rules = RULES - {"coap"}  # Wong and Kolter's dual network has none

    kernel: Pair
    stride: Pair

    def __post_init__(self) -> None:
        """Take lists, as JSON has them, for pairs."""
        for name in ("kernel", "stride"):
            object.__setattr__(self, name, check_pair(name, getattr(self, name), 1))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return (maps, windows by rows, by columns)."""
        if len(inputs) != 1 or len(inputs[0]) != 3:
            raise ValueError(f"max-pooling takes one input of maps, got {list(inputs)}")
        return (inputs[0][0], *sides_after(inputs[0][1:], self.kernel, self.stride))

    def forward(self, own: Own | None, *inputs: Tensor) -> Tensor:
        """Return the largest member of each window, [P, ..., M, R', S']."""
        first, *others = self._members(inputs[0])
        for other in others:
            first = torch.maximum(first, other)
        return first

    def interval(self, own: Own | None, *inputs: Box) -> Box:
        """Return the largest lower and the largest upper ends."""
        return Box(self.forward(None, inputs[0].low), self.forward(None, inputs[0].high))

    def streams(self, own: Own | None, at: Sequence[Tensor], *inputs: Streams) -> Streams:
        """Return s = max_i u_i and m = v_w, w the largest member at x (the first of ties)."""
        up, down = sides(*inputs[0])
        s = self.forward(None, up)
        m = picked(down, self._largest(at[0]), self.kernel, self.stride)
        return Streams((s - m) / 2, (s + m) / 2)

    def tangent(self, *inputs: Tensor) -> Lines | None:
        """Return the slope 1 of the largest member."""
        member = self._largest(inputs[0])
        slope = torch.ones(member.shape, dtype=inputs[0].dtype, device=member.device)
        return Lines(slope, slope, None, member, member)

    def relaxed(self, slope: str, *inputs: Box) -> Lines | None:
        """Return the lines of this file's head; the slope below is always 1."""
        low, high = inputs[0]
        lows, highs = (torch.stack(list(self._members(ends))) for ends in (low, high))
        below = (lows / 2 + highs / 2).argmax(dim=0)
        above = highs.argmax(dim=0, keepdim=True)
        top, least = highs.gather(0, above).squeeze(0), lows.gather(0, above).squeeze(0)
        others = highs.scatter(0, above, -float("inf")).amax(dim=0)
        level = torch.maximum(least, others)
        varies = top > least
        width = torch.where(varies, top / 2 - least / 2, 0.5)  # halves: it may overflow
        rise = torch.where(varies, (top / 2 - level / 2) / width, 0.0)
        unknown = (lows.isnan() | highs.isnan()).any(dim=0)
        rise = rise.masked_fill(unknown, float("nan"))
        one = torch.ones_like(rise).masked_fill(unknown, float("nan"))
        return Lines(one, rise, level - rise * least, below, above.squeeze(0))

    def back(
        self, own: Own | None, lines: Lines | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Send a to the upper line's member where a > 0, to the lower line's where a < 0."""
        assert lines is not None and lines.upper_member is not None
        assert lines.lower_member is not None
        up = lines.upper_member.unsqueeze(2)
        if lines.intercept is None:
            return (self._sent(forms * lines.upper.unsqueeze(2), up, inputs),), 0.0
        positive = torch.relu(forms)
        down = lines.lower_member.unsqueeze(2)
        back = self._sent(positive * lines.upper.unsqueeze(2), up, inputs)
        back = back + self._sent((forms - positive) * lines.lower.unsqueeze(2), down, inputs)
        return (back,), paired(positive, lines.intercept)

    def _sent(self, values: Tensor, member: Tensor, inputs: Sequence[Shape]) -> Tensor:
        return spread(values, member, self.kernel, self.stride, inputs[0][1:])

    def _members(self, maps: Tensor) -> list[Tensor]:
        after = sides_after(maps.shape[-2:], self.kernel, self.stride)
        return list(members(maps, self.kernel, self.stride, after))

    def _largest(self, maps: Tensor) -> Tensor:
        """Return the number of each window's largest member, the first of ties."""
        return torch.stack(self._members(maps)).argmax(dim=0)
