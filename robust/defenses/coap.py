"""COAP-Linf: the loss of the dual network's bounds (Wong, Kolter 2018).

Minimises L(y, -J(x)), J_k the certified lower bound of z_y - z_k over the Linf ball.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.bounds.coap import worst_case_differences
from robust.defenses.base import Defense, StepCost, register
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class COAP(Defense):
    """The loss of the convex outer polytope's worst class differences."""

    label: ClassVar[str] = "COAP"
    layer_rule: ClassVar[str | None] = "coap"

    def step_cost(self, size: NetworkSize) -> StepCost:
        """The network, every hidden unit and K - 1 differences pulled back, both ways."""
        products = 3 * (size.dual + size.num_classes * size.products)
        return StepCost(products, 100 * size.units, (120e6, 8))

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return L(y, -J) for each example, [P, B]."""
        assert self.norm is not None
        return self.loss_function(worst_case_differences(net, x, y, radius, self.norm))


register(COAP(name="coap-linf", norm="linf"))
