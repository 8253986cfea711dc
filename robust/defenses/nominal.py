"""Nominal training: the loss at the unperturbed inputs (Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.defenses.base import Defense, StepCost, register
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class Nominal(Defense):
    """L(y, z(x)); the radius is ignored."""

    label: ClassVar[str] = "Nominal"

    def step_cost(self, size: NetworkSize) -> StepCost:
        """One pass forward and backward."""
        return StepCost(3 * size.products - size.first_layer, 4 * size.units)

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return L(y, z(x)), the summand of Eq. 1, for each example, [P, B]."""
        return self.loss_function(class_differences(net(x), y))


register(Nominal(name="nominal", norm=None))
