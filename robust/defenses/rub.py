"""RUB: the provable robust upper bound over the L1 ball (Theorem 11, Eq. 35, with Lemma 1).

Minimises L(y, (max_m max(g_{L,k,m}(t, rho), g_{L,k,m}(t, -rho)))_k) at t = [sign(z(x))]^+. Eq. 27
is the case of one hidden layer (Theorem 7) and cross-entropy. Convolutional networks have the
bound of docs/rub-bound.md, which the paper leaves open. With costs c of the
features the vertices are x +- (rho / c_m) e_m; such balls are for multi-layer perceptrons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.bounds.rub import worst_case_differences
from robust.defenses.base import Defense, StepCost, register
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.registry import CostKinds


@dataclass(frozen=True)
class RUB(Defense):
    """The loss of the certified worst class differences."""

    label: ClassVar[str] = "RUB"
    layer_rule: ClassVar[str | None] = "rub"
    cost_kinds: ClassVar[CostKinds] = ("mlp",)

    def step_cost(self, size: NetworkSize) -> StepCost:
        """All 2D vertices searched, then the worst of each of K - 1 classes with gradient.

        The search carries two streams between the first layer, which costs nothing, and the
        last, where they have become one.
        """
        search = 2 * size.num_features * (2 * size.between + size.last_layer)
        again = 6 * (size.num_classes - 1) * size.between + size.products
        return StepCost(search + again, 8.3 * size.num_classes * size.units, (20e6, 2))

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of the bounds of each example, [P, B]."""
        bounds = worst_case_differences(net, x, y, radius, True, self.feature_costs)
        return self.loss_function(bounds)


register(RUB(name="rub", norm="l1"))
