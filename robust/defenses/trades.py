"""TRADES: accuracy traded off against smoothness (Zhang et al. 2019, "Theoretically Principled
Trade-off between Robustness and Accuracy", Eq. 5 and Algorithm 1).

Minimises L(y, z(x)) + beta KL(p(x) || p(x')), p the softmax of z, x' the last point of projected
ascent of the divergence in the Linf ball, from x + 0.001 N(0, I). x' is held constant.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.defenses.adversarial import check_ascent
from robust.defenses.base import Defense, StepCost, register
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.norms import shrink_to_ball

NOISE = 0.001  # standard deviation of the start, at whose centre the divergence has no slope


@dataclass(frozen=True)
class TRADES(Defense):
    """The loss at the inputs plus beta times the divergence at the worst input that is found.

    Attributes:
        beta: >= 0, the paper's 1 / lambda. The defaults are the authors' for CIFAR-10 at 0.031:
            6; 10 steps of 0.007.
        num_steps: of the ascent, at least 1.
        step_size: as a share of the radius, > 0.
    """

    label: ClassVar[str] = "TRADES"

    beta: float = 6.0
    num_steps: int = 10
    step_size: float = 7 / 31

    def __post_init__(self) -> None:
        """Refuse what is no weight or no ascent.

        Raises:
            ValueError: the message names the field.
        """
        if not 0 <= self.beta < float("inf"):
            raise ValueError(f"defense {self.name!r}: beta={self.beta} must be >= 0 and finite")
        check_ascent(self.name, self.num_steps, self.step_size)

    def step_cost(self, size: NetworkSize) -> StepCost:
        """Two passes forward and backward, and two for each step of the ascent."""
        products = (6 + 2 * self.num_steps) * size.products - 2 * size.first_layer
        return StepCost(products, 8 * size.units + 12 * size.num_features)

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return L(y, z(x)) + beta KL(p(x) || p(x')) for each example, [P, B]."""
        logits = net(x)
        x_adv = self.divergent_inputs(net, x, logits.detach(), radius, generator)
        loss = self.loss_function(class_differences(logits, y))
        return loss + self.beta * divergence(logits, net(x_adv))

    @torch.no_grad()
    def divergent_inputs(
        self,
        net: Network,
        x: Tensor,
        logits: Tensor,
        radius: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Return x', [P, B, D]: steps along the sign of grad KL = J'(p(x') - p(x)).

        Args:
            net: P networks.
            x: [B, D] or [P, B, D].
            logits: z(x), [P, B, K].
            radius: true radius of each example's ball, [P, B].
            generator: of the start, the same for all networks.
        """
        target = torch.softmax(logits, dim=2)
        shape = x.shape[-2:]
        noise = torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        step = (self.step_size * radius).unsqueeze(2)
        x_adv = (x + NOISE * noise).expand(net.num_networks, *shape)
        for _ in range(self.num_steps):
            expansion = net.linearize(x_adv)
            slope = torch.softmax(expansion.logits, dim=2) - target
            gradient = expansion.pullback(slope.unsqueeze(2)).squeeze(2)
            moved = x_adv + step * gradient.sign() - x
            x_adv = (x + shrink_to_ball(moved, "linf", radius)).clamp(*self.bounds)
        return x_adv


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """Return KL(softmax(z) || softmax(z')) = sum_k p_k (log p_k - log p'_k) >= 0.

    Args:
        logits: z, [P, B, K].
        others: z', [P, B, K].

    Returns:
        [P, B].
    """
    log_p, log_q = logits.log_softmax(dim=2), others.log_softmax(dim=2)
    return (log_p.exp() * (log_p - log_q)).sum(dim=2)


register(TRADES(name="trades-linf", norm="linf"))
