"""TRADES: accuracy and smoothness traded off (Zhang et al. 2019, Eq. 5).

Minimises CE(y, z(x)) + beta KL(p(x) || p(x')), x' found by ascent of the divergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from robust.defenses.base import Defense, StepCost, register
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.norms import sample_unit_ball

STEPS = 3


@dataclass(frozen=True)
class TRADES(Defense):
    """Cross-entropy plus beta times the divergence at the worst input that is found."""

    label: ClassVar[str] = "TRADES"

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
            (slope,) = torch.autograd.grad(divergence(clean.detach(), net(x_adv)).sum(), x_adv)
            moved = x_adv.detach() + ball / 4 * slope.sign()
            x_adv = (x + (moved - x).clamp(-ball, ball)).clamp(*self.bounds)
        loss = self.loss_function(class_differences(clean, y))
        return loss + self.beta * divergence(clean, net(x_adv.detach()))


def divergence(clean: Tensor, other: Tensor) -> Tensor:
    """Return KL(softmax(clean) || softmax(other)), [P, B]."""
    p, q = clean.log_softmax(dim=2), other.log_softmax(dim=2)
    return functional.kl_div(q, p, reduction="none", log_target=True).sum(dim=2)


register(TRADES(name="trades-linf", norm="linf"))
