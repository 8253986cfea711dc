"""Vertex-CROWN: training on the tightest of the closed bounds over the L1 ball (docs/bounds.md).

Minimises (1 - w) L(y, z(x)) + w L(y, d), d the bounds of vertex-CROWN on the class differences.
By Lemma 1 (Eq. 6) L(y, d) is an upper bound of the adversarial loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from robust.bounds import rub, vertex_crown_training
from robust.bounds.ball import Ball
from robust.bounds.first_order import approximate_worst_case_differences
from robust.defenses.base import Defense, StepCost, register
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.registry import CostKinds

# The hidden units that are not linear are few: their forms with gradient take so much of a search.
AGAIN = 0.2


@dataclass(frozen=True)
class VertexCROWN(Defense):
    """The loss of vertex-CROWN's worst class differences, mixed with that of the inputs.

    Attributes:
        weight: w in [0, 1], of the bounds' loss.
        share: of a batch on which the bounds are computed, its first examples. The others take
            aRUB-L1's first-order bounds (Eq. 9), which cost little, and by what the bounds of
            the first ones exceed theirs the mean is raised for all: over batches drawn at
            random it is that of the whole batch.
        with_rub: take the smaller of vertex-CROWN's and RUB's bound of each class difference.
    """

    label: ClassVar[str] = "Vertex-CROWN"
    network_kinds: ClassVar[tuple[str, ...] | None] = ("mlp",)
    cost_kinds: ClassVar[CostKinds] = ("mlp",)

    weight: float = 1.0
    share: float = 0.125
    with_rub: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"defense {self.name!r}: weight={self.weight} must be in [0, 1]")
        if not 0 < self.share <= 1:
            raise ValueError(f"defense {self.name!r}: share={self.share} must be in (0, 1]")

    def step_cost(self, size: NetworkSize) -> StepCost:
        """Hidden units pulled back both ways and tried at the vertices, again where not linear."""
        deeper = size.units - size.num_classes - size.first_layer // size.num_features
        search = 2 * size.dual + 4 * deeper * size.first_layer
        classes = (size.num_classes - 1) * (3 * size.between + 3 * size.first_layer)
        bounds = (1 + AGAIN) * search + classes + 3 * size.products
        linear = 3 * size.products * size.num_classes - size.first_layer
        products = self.share * bounds + (linear if self.share < 1 else 0)
        return StepCost(products, 100 * size.units, (400e6, 4))

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of each example, [P, B]; with a share, an estimate from some of them."""
        bounded = max(1, round(self.share * len(y)))
        some = x[..., :bounded, :], y[:bounded], radius[:, :bounded]
        losses = self.loss_function(self._bounds(net, *some))
        if bounded < len(y):
            linear = self.loss_function(
                approximate_worst_case_differences(net, x, y, radius, "l1", self.feature_costs)
            )
            excess = (losses - linear[:, :bounded]) * (len(y) / bounded)
            losses = linear + pad(excess, (0, len(y) - bounded))
        if self.weight == 1:
            return losses
        clean = self.loss_function(class_differences(net(x), y))
        return (1 - self.weight) * clean + self.weight * losses

    def _bounds(self, net: Network, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        costs = self.feature_costs
        ball = Ball(radius, costs=costs)
        upper = vertex_crown_training.worst_case_differences(net, x, y, ball)
        if not self.with_rub:
            return upper
        return torch.minimum(upper, rub.worst_case_differences(net, x, y, radius, True, costs))


register(VertexCROWN(name="vertex-crown-l1", norm="l1"))
