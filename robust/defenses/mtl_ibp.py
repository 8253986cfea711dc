"""MTL-IBP: adversarial and interval loss side by side (De Palma et al. 2024, "Expressive Losses
for Verified Robustness via Convex Combinations", Eq. 7).

Minimises (1 - alpha) L(y, z(x')) + alpha L(y, d), x' an adversarial input and d the interval
bounds of the class differences, both of the same Linf ball.

Legend: P networks in the pack, B batch, D input features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.interval_walk import worst_case_differences
from robust.defenses.adversarial import ascent, check_ascent
from robust.defenses.base import StepCost, register
from robust.defenses.ibp import interval_products, with_layers
from robust.defenses.schedule import ScheduledDefense
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class MTLIBP(ScheduledDefense):
    """The adversarial loss and that of interval bounds, mixed.

    Attributes:
        alpha: weight of the bounds' loss, in [0, 1]. The defaults are the authors' for their large
            radii (CIFAR-10 at 8/255): 0.5, and one step of ten radii from a random point; the
            radius grows as it does for their MNIST networks, over the first 20 of 70 epochs.
        num_steps: of PGD, at least 1.
        step_size: of PGD, as a share of the radius.
    """

    label: ClassVar[str] = "MTL-IBP"
    layer_rule: ClassVar[str | None] = "interval"

    ramp: float = 2 / 7
    alpha: float = 0.5
    num_steps: int = 1
    step_size: float = 10.0

    def __post_init__(self) -> None:
        """Refuse a weight outside [0, 1] and an attack without steps.

        Raises:
            ValueError: the message names the field.
        """
        super().__post_init__()
        self.check_share("alpha")
        check_ascent(self.name, self.num_steps, self.step_size)

    def step_cost(self, size: NetworkSize) -> StepCost:
        """Gradients at the inputs, the network at x', and the interval bounds, both ways."""
        adversarial = (3 + 2 * self.num_steps) * size.products - size.first_layer
        kept = 16 * size.units + 18 * size.num_features
        return StepCost(adversarial + interval_products(size), kept)

    def ramped_losses(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        ramped: Tensor,
    ) -> Tensor:
        """Return (1 - alpha) L(y, z(x')) + alpha L(y, d) for each example, [P, B]."""
        attack = ascent(self.num_steps, self.step_size)
        start = attack.random_starts(x, generator)
        x_adv = attack.perturb(net, x, y, radius, self.bounds, start)
        adversarial = self.loss_function(class_differences(net(x_adv), y))
        bounds = worst_case_differences(with_layers(net, "interval"), x, y, Ball(radius, "linf"))
        return (1 - self.alpha) * adversarial + self.alpha * self.loss_function(bounds)


register(MTLIBP(name="mtl-ibp-linf", norm="linf"))
