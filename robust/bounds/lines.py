"""Lines around a ReLU whose input lies between known bounds.

For l <= z <= u with l < 0 < u, [z]^+ lies below the chord s z + t, s = u / (u - l), t = -s l,
and above every a z with 0 <= a <= 1. Other units are linear in the ball: [z]^+ = z or 0.

What is computed holds for the numbers that come out: t is raised by more than the rounding of
s and s l can take from the chord at either end, and a z is a lower line for every number a.

Legend: P networks in the pack, B batch, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.registry import Registry

CHORD_ROUNDOFFS = 8.0  # of the larger end, by which a chord is raised


@dataclass(frozen=True)
class Lines:
    """The lines of one hidden layer.

    Attributes:
        low: l, [P, B, H].
        high: u, [P, B, H].
        lower: the lower line's slope a, [P, B, H].
        upper: the chord's slope s, [P, B, H]; equal to `lower` where a unit is linear.
        intercept: the chord's t >= 0, [P, B, H]; 0 where a unit is linear.
    """

    low: Tensor
    high: Tensor
    lower: Tensor
    upper: Tensor
    intercept: Tensor

    def at(self, units: Tensor) -> Lines:
        """Return the lines of some units, [P, B, N]."""
        every = self.low, self.high, self.lower, self.upper, self.intercept
        return Lines(*(values.gather(2, units) for values in every))

    def first(self, count: int) -> Lines:
        """Return the lines of the first units, [P, B, count]."""
        every = self.low, self.high, self.lower, self.upper, self.intercept
        return Lines(*(values[..., :count] for values in every))

    @property
    def crosses(self) -> Tensor:
        """Which units are not linear in the ball, [P, B, H], boolean."""
        return (self.low < 0) & (self.high > 0)


# (low, high, chord's slope, z at x) -> lower slope of units with low < 0 < high
SlopeRule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

SLOPES: Registry[SlopeRule] = Registry("rule for lower slopes")
SLOPES.add("adaptive", lambda low, high, chord, z: (high > -low).to(low.dtype))  # CROWN's
SLOPES.add("parallel", lambda low, high, chord, z: chord)  # Wong and Kolter's
SLOPES.add("centre", lambda low, high, chord, z: (z > 0).to(low.dtype))  # RUB's t


def lines(low: Tensor, high: Tensor, z: Tensor, rule: str = "adaptive") -> Lines:
    """Return the lines of units with l <= z <= u; NaN where a bound is not finite.

    Args:
        low, high: l and u, [P, B, H].
        z: pre-activations at x, [P, B, H].
        rule: of `SLOPES`.
    """
    crosses = (low < 0) & (high > 0)
    width = torch.where(crosses, high / 2 - low / 2, 0.5)  # halves, as u - l may overflow
    # A bound that overflowed must not look like that of a linear unit.
    known = torch.where(low.isfinite() & high.isfinite(), 0.0, float("nan")).to(low.dtype)
    linear = (low >= 0).to(low.dtype) + known
    upper = torch.where(crosses, high / 2 / width, linear)
    raised = CHORD_ROUNDOFFS * torch.finfo(low.dtype).eps * torch.maximum(high, -low)
    intercept = torch.where(crosses, raised - upper * low, known)
    lower = torch.where(crosses, SLOPES.get(rule)(low, high, upper, z), linear)
    return Lines(low, high, lower, upper, intercept)
