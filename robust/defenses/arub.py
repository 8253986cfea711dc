"""aRUB-Lp: the approximate robust upper bound (Eq. 10, and Eq. 11 for cross-entropy).

Minimises L(y, (c_k'z(x) + rho ||c_k' grad z(x)||_q)_k) with c_k = e_k - e_y, 1/p + 1/q = 1. In
L1 balls in which features have costs the dual norm of g is max_m |g_m| / c_m.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.bounds.first_order import approximate_worst_case_differences
from robust.defenses.base import Defense, StepCost, register
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.registry import CostKinds


@dataclass(frozen=True)
class ARUB(Defense):
    """The loss of the linearised network's worst class differences."""

    label: ClassVar[str] = "aRUB"
    cost_kinds: ClassVar[CostKinds] = None

    def step_cost(self, size: NetworkSize) -> StepCost:
        """The network and K - 1 differences pulled back, forward and backward."""
        products = 3 * size.products * size.num_classes - size.first_layer
        pulled = 4 * size.num_classes * size.num_features
        return StepCost(products, 3 * (size.num_classes + 1) * size.units + pulled)

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of Eq. 10 for each example, [P, B]."""
        assert self.norm is not None
        bounds = approximate_worst_case_differences(
            net, x, y, radius, self.norm, self.feature_costs
        )
        return self.loss_function(bounds)


register(ARUB(name="arub-l1", norm="l1"))
register(ARUB(name="arub-l2", norm="l2"))
register(ARUB(name="arub-linf", norm="linf"))
