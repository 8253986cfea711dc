"""ReLU: h = [z]^+, and the lines that bound it on an interval.

On l <= z <= u with l < 0 < u, [z]^+ is convex, so it lies below the chord u (z - l)/(u - l) and
above a z for every 0 <= a <= 1. A unit with l >= 0 is z, one with u <= 0 is 0.

Legend: P networks in the pack, B batch, V vertices, U linear forms per example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.layers.base import Box, Layer, Lines, Own, Shape, paired, register
from robust.layers.streams import Streams, through_relu
from robust.registry import Registry

# A rule for the slope a of the line below: from l, u and the chord's slope.
Slope = Callable[[Tensor, Tensor, Tensor], Tensor]


def adaptive(low: Tensor, high: Tensor, chord: Tensor) -> Tensor:
    """Return 1 where u > -l, else 0: the smaller area (Zhang et al. 2018; auto_LiRPA's rule)."""
    return (high > -low).to(chord.dtype)


def parallel(low: Tensor, high: Tensor, chord: Tensor) -> Tensor:
    """Return the chord's own slope (Wong, Kolter 2018)."""
    return chord


SLOPES: Registry[Slope] = Registry("slope of lower lines")
SLOPES.add("adaptive", adaptive)
SLOPES.add("parallel", parallel)


def chord(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return where l < 0 < u, the chord's slope, and its intercept; NaN where l or u is NaN.

    Args:
        low, high: l and u, of one shape.

    Returns:
        Boolean; u/(u - l) where the unit may switch, else 1 or 0; -l times it there, else 0.
    """
    unknown = low.isnan() | high.isnan()  # by rounding, l may lie above u at radius 0
    crosses = (low < 0) & (high > 0)
    width = torch.where(crosses, high / 2 - low / 2, 0.5)  # halves, as u - l may overflow
    fixed = (low >= 0).to(low.dtype).masked_fill(unknown, float("nan"))
    slope = torch.where(crosses, high / 2 / width, fixed)
    return crosses, slope, torch.where(crosses, -slope * low, 0.0)


@register
@dataclass(frozen=True)
class ReLU(Layer):
    """[z]^+, unit by unit."""

    kind = "relu"
    keeps_outputs = False

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input's shape."""
        if len(inputs) != 1:
            raise ValueError(f"a ReLU takes one input, got {len(inputs)}")
        return inputs[0]

    def forward(self, own: Own | None, *inputs: Tensor) -> Tensor:
        """Return [z]^+."""
        return torch.relu(inputs[0])

    def interval(self, own: Own | None, *inputs: Box) -> Box:
        """Return [l]^+ and [u]^+: ReLU does not decrease."""
        return Box(*map(torch.relu, inputs[0]))

    def streams(self, own: Own | None, at: Sequence[Tensor], *inputs: Streams) -> Streams:
        """Return s = [u]^+ and m = t v with t = 1 where the unit is active at x, else 0."""
        t = (at[0] > 0).to(at[0].dtype)
        total, gap = through_relu(*inputs[0], t)
        return Streams(gap / 2, total / 2)

    def tangent(self, *inputs: Tensor) -> Lines | None:
        """Return the slope 1 of active units and 0 of the others."""
        slope = (inputs[0] > 0).to(inputs[0].dtype)
        return Lines(slope, slope)

    def relaxed(self, slope: str, *inputs: Box) -> Lines | None:
        """Return the chord above and the line below, exact for units that cannot switch."""
        low, high = inputs[0]
        crosses, above, intercept = chord(low, high)
        below = torch.where(crosses, SLOPES.get(slope)(low, high, above), above)
        return Lines(below, above, intercept)

    def back(
        self, own: Own | None, lines: Lines | None, inputs: Sequence[Shape], forms: Tensor
    ) -> tuple[tuple[Tensor, ...], Tensor | float]:
        """Return a times the upper slope where a > 0, the lower one where a < 0; [a]^+'c."""
        assert lines is not None
        upper = lines.upper.unsqueeze(2)
        if lines.intercept is None:
            return (forms * upper,), 0.0
        slope = torch.where(forms > 0, upper, lines.lower.unsqueeze(2))
        return (forms * slope,), paired(torch.relu(forms), lines.intercept)
