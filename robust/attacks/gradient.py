"""Projected gradient and fast gradient attacks by foolbox 3.3.4's rules, for packs.

Every step is x <- clip(x0 + shrink(x + alpha g_hat - x0), bounds) with g_hat the gradient of the
cross-entropy, scaled by the ball's norm, and alpha = relative step size times radius. The last
iterate is used, as foolbox does, and shrunk to the ball once more.

Legend: P networks in the pack, N inputs, D input features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.attacks.base import Attack, register
from robust.networks.linearization import Network, loss_gradient
from robust.norms import sample_unit_ball, shrink_to_ball, steepest


@dataclass(frozen=True)
class GradientAttack(Attack):
    """Steepest ascent of the cross-entropy within the ball.

    Attributes:
        num_steps: steps taken.
        relative_step_size: alpha / radius.
    """

    num_steps: int = 1
    relative_step_size: float = 1.0

    @torch.no_grad()
    def perturb(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
        generator: torch.Generator | None,
        random_start: bool = True,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Return the last iterate, [P, N, D]."""
        start = x.expand(net.num_networks, *x.shape[-2:])
        radius = radius.expand(start.shape[:2])
        x_adv = start
        if self.random and random_start:
            if noise is None:
                noise = sample_unit_ball(tuple(x.shape[-2:]), self.norm, x, generator)
            x_adv = (start + noise * radius.unsqueeze(2)).clamp(*bounds)
        step_size = (self.relative_step_size * radius).unsqueeze(2)
        for _ in range(self.num_steps):
            ascent = steepest(loss_gradient(net, x_adv, y), self.norm)
            delta = shrink_to_ball(x_adv + step_size * ascent - start, self.norm, radius)
            x_adv = (start + delta).clamp(*bounds)
        return (start + shrink_to_ball(x_adv - start, self.norm, radius)).clamp(*bounds)


register(GradientAttack("pgd-l1", "l1", random=True, num_steps=50, relative_step_size=0.025))
register(GradientAttack("pgd-l2", "l2", random=True, num_steps=50, relative_step_size=0.025))
register(
    GradientAttack("pgd-linf", "linf", random=True, num_steps=40, relative_step_size=0.01 / 0.3)
)
register(GradientAttack("fgm-l1", "l1"))
register(GradientAttack("fgm-l2", "l2"))
register(GradientAttack("fgsm-linf", "linf"))
