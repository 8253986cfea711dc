"""Nominal training: the loss at the unperturbed inputs (Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.defenses.base import Defense, register
from robust.losses import class_differences
from robust.networks.linearization import Network


@dataclass(frozen=True)
class Nominal(Defense):
    """L(y, z(x)); the radius is ignored."""

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return L(y, z(x)), the summand of Eq. 1, for each example, [P, B]."""
        return self.loss_function(class_differences(net(x), y))


register(Nominal(name="nominal", norm=None))
