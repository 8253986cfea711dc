"""Logit pairing: equal logits wanted at an input and near it (after Kannan et al. 2018).

Minimises L(y, z(x)) + beta ||z(x) - z(x')||^2, x' found by ascent of the distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.defenses.base import Defense, StepCost, register
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.norms import sample_unit_ball

STEPS = 3


@dataclass(frozen=True)
class Pairing(Defense):
    """The loss plus beta times the distance at the worst input that is found."""

    label: ClassVar[str] = "Pairing"

    beta: float = 6.0

    def step_cost(self, size: NetworkSize) -> StepCost:
        """Two passes forward and backward, and two for each step."""
        products = (6 + 2 * STEPS) * size.products
        return StepCost(products, 8 * size.units + 4 * size.num_features)

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of each example, [P, B]."""
        clean = net(x)
        ball = radius.unsqueeze(2)
        x_adv = x + ball * sample_unit_ball(tuple(x.shape[-2:]), "linf", x, generator)
        for _ in range(STEPS):
            x_adv = x_adv.detach().requires_grad_()
            (slope,) = torch.autograd.grad(distance(clean.detach(), net(x_adv)).sum(), x_adv)
            moved = x_adv.detach() + ball / 4 * slope.sign()
            x_adv = (x + (moved - x).clamp(-ball, ball)).clamp(*self.bounds)
        loss = self.loss_function(class_differences(clean, y))
        return loss + self.beta * distance(clean, net(x_adv.detach()))


def distance(clean: Tensor, other: Tensor) -> Tensor:
    """Return ||clean - other||^2, [P, B]."""
    return (clean - other).square().sum(dim=2)


register(Pairing(name="pairing-linf", norm="linf"))
