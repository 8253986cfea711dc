"""Vertex-CROWN: training on the tightest of the closed bounds over the L1 ball (docs/bounds.md).

Minimises (1 - w) L(y, z(x)) + w L(y, d), d the bounds of vertex-CROWN on the class differences.
By Lemma 1 (Eq. 6) L(y, d) is an upper bound of the adversarial loss; where `share` is below 1, of
that share of the examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.bounds import rub, vertex_crown_training
from robust.bounds.ball import Ball
from robust.bounds.first_order import approximate_worst_case_differences
from robust.defenses.base import Defense, StepCost, register
from robust.losses import class_differences
from robust.networks import MLP
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class VertexCROWN(Defense):
    """The loss of vertex-CROWN's worst class differences, mixed with that of the inputs.

    Attributes:
        weight: w in [0, 1], of the bounds' loss.
        share: of a batch on which the bounds are computed, its first examples; the others take
            aRUB-L1's first-order bounds (Eq. 9), which cost little and lie below. Batches are
            drawn at random, so every example has its turn.
        with_rub: take the smaller of vertex-CROWN's and RUB's bound of each class difference.
    """

    label: ClassVar[str] = "Vertex-CROWN"
    network_kinds: ClassVar[tuple[str, ...] | None] = ("mlp",)

    weight: float = 1.0
    share: float = 0.25
    with_rub: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"defense {self.name!r}: weight={self.weight} must be in [0, 1]")
        if not 0 < self.share <= 1:
            raise ValueError(f"defense {self.name!r}: share={self.share} must be in (0, 1]")

    def step_cost(self, size: NetworkSize) -> StepCost:
        """Hidden units pulled back once each way, and again with gradient where not linear."""
        forms = 2 * size.dual + 2 * size.num_features * 2 * size.between
        bounds = 2 * forms + size.num_classes * size.products
        return StepCost(self.share * bounds + 3 * size.products, 100 * size.units, (400e6, 4))

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of each example, [P, B], of which the mean is the batch's."""
        bounded = max(1, round(self.share * len(y)))
        parts = [self._bounds(net, x[..., :bounded, :], y[:bounded], radius[:, :bounded])]
        if bounded < len(y):
            rest = x[..., bounded:, :], y[bounded:], radius[:, bounded:]
            parts.append(approximate_worst_case_differences(net, *rest, "l1"))
        losses = self.loss_function(torch.cat(parts, dim=1))
        if self.weight == 1:
            return losses
        clean = self.loss_function(class_differences(net(x), y))
        return (1 - self.weight) * clean + self.weight * losses

    def _bounds(self, net: Network, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        assert isinstance(net, MLP), type(net).__name__
        upper = vertex_crown_training.worst_case_differences(net, x, y, Ball(radius))
        if not self.with_rub:
            return upper
        return torch.minimum(upper, rub.worst_case_differences(net, x, y, radius, True))


register(VertexCROWN(name="vertex-crown-l1", norm="l1"))
