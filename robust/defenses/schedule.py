"""Schedules: a radius that grows from 0 while a network trains, and weights that follow it.

Certified training from the first step at full radius tends to end in a constant network. So the
authors of these methods train on the inputs alone for a while, then let the radius grow linearly:
    s(t) = clip((t - warmup) / ramp, 0, 1),  radius s rho,
with t the share of the steps that are done. What else a method changes goes by the same s.

Legend: P networks in the pack, B batch, D input features.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.defenses.base import Defense
from robust.networks.linearization import Network

# The shortest ramp: float32, in which progress is counted, takes any shorter one for a jump.
SHORTEST = 2.0**-24


@dataclass(frozen=True)
class ScheduledDefense(Defense):
    """A defense whose radius grows; both shares are hyperparameters, and so part of its name.

    Attributes:
        warmup: the share of the steps, in [0, 1], in which the radius is 0.
        ramp: the share of the steps, in [0, 1], in which it then grows to its full size.
    """

    warmup: float = 0.0
    ramp: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares that do not fit into a training.

        Raises:
            ValueError: a share outside [0, 1], or both together above 1.
        """
        for key in ("warmup", "ramp"):
            self.check_share(key)
        if self.warmup + self.ramp > 1:
            raise ValueError(
                f"defense {self.name!r}: warmup={self.warmup} and ramp={self.ramp} must be at "
                "most 1 together"
            )

    def check_share(self, key: str) -> None:
        """Refuse a hyperparameter outside [0, 1].

        Raises:
            ValueError: it is outside, or NaN.
        """
        value = getattr(self, key)
        if not 0 <= value <= 1:
            raise ValueError(f"defense {self.name!r}: {key}={value} must be in [0, 1]")

    def ramped(self, progress: Tensor) -> Tensor:
        """Return s, the share of the radius, a scalar in [0, 1].

        Args:
            progress: t, the share of the steps that are done, a scalar in [0, 1].
        """
        if self.ramp < SHORTEST:
            return (progress >= self.warmup).to(progress.dtype)
        return ((progress - self.warmup) / self.ramp).clamp(0, 1)

    @abstractmethod
    def ramped_losses(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        ramped: Tensor,
    ) -> Tensor:
        """Return the loss of each example at a point of the schedule, [P, B].

        Args:
            net, x, y, generator: as for `example_losses`.
            radius: of this moment: s rho, [P, B].
            ramped: s, by which weights go, a scalar in [0, 1].
        """

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of each example at the end of the schedule, [P, B]."""
        return self.ramped_losses(net, x, y, radius, generator, radius.new_ones(()))

    def losses_during(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        progress: Tensor,
    ) -> Tensor:
        """Return the loss of each example at radius s rho, [P, B]."""
        ramped = self.ramped(progress).to(radius.dtype)
        return self.ramped_losses(net, x, y, ramped * radius, generator, ramped)
