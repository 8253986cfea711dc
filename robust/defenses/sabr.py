"""SABR: interval bounds of a small box around an adversarial input (Mueller et al. 2023,
"Certified Training: Small Boxes are All You Need", Eqs. 6 and 7).

Minimises L(y, d), d the interval bounds over the Linf ball of radius lambda rho around x', x' the
last point of PGD in the ball of radius (1 - lambda) rho: the small box lies in the large one.
lambda = 1 is IBP without the loss at the inputs. The box is not cut at the bounds of the inputs,
in which its centre lies, and PGD's steps keep their size, which the authors reduce to a tenth
after the fourth step and again after the seventh.

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
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class SABR(ScheduledDefense):
    """The loss of interval bounds of a small box.

    Attributes:
        box: lambda in [0, 1], the small box's share of the radius. The defaults are the authors'
            for MNIST at 0.1: 0.4; the radius grows over the first 20 of 70 epochs.
        num_steps: of PGD, at least 1.
        step_size: of PGD, as a share of its ball's radius.
    """

    label: ClassVar[str] = "SABR"
    layer_rule: ClassVar[str | None] = "interval"

    ramp: float = 2 / 7
    box: float = 0.4
    num_steps: int = 8
    step_size: float = 0.5

    def __post_init__(self) -> None:
        """Refuse a share outside [0, 1] and an attack without steps.

        Raises:
            ValueError: the message names the field.
        """
        super().__post_init__()
        self.check_share("box")
        check_ascent(self.name, self.num_steps, self.step_size)

    def step_cost(self, size: NetworkSize) -> StepCost:
        """Two passes for each gradient at the inputs, and the interval bounds both ways."""
        products = 2 * self.num_steps * size.products + interval_products(size)
        return StepCost(products, 12 * size.units + 14 * size.num_features)

    def ramped_losses(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
        ramped: Tensor,
    ) -> Tensor:
        """Return the loss of the bounds over the small box of each example, [P, B]."""
        attack = ascent(self.num_steps, self.step_size)
        start = attack.random_starts(x, generator)
        centre = attack.perturb(net, x, y, (1 - self.box) * radius, self.bounds, start)
        small = Ball(self.box * radius, "linf")
        layered = with_layers(net, "interval")
        return self.loss_function(worst_case_differences(layered, centre, y, small))


register(SABR(name="sabr-linf", norm="linf"))
