"""FGSM training with a random start (Wong, Rice, Kolter 2020, "Fast is better than free").

Minimises L(y, z(x + delta)), delta = clip(eta + 1.25 rho sign(grad_x L(y, z(x + eta)))) to the
Linf ball, eta uniform in it. Wong et al. also stop a training whose accuracy under PGD on training
data collapses (catastrophic overfitting). The paper does not: its networks are all trained for a
fixed number of steps, and a network that collapsed is not selected on validation data.

Legend: P networks in the pack, B batch, D input features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from robust.attacks.gradient import GradientAttack
from robust.defenses.adversarial import AdversarialTraining
from robust.defenses.base import register
from robust.networks.linearization import Network

# Not in the registry of attacks: it only trains.
FAST_STEP: Final = GradientAttack(
    "fgsm-linf with a random start", "linf", random=True, num_steps=1, relative_step_size=1.25
)


@dataclass(frozen=True)
class FGSMTraining(AdversarialTraining):
    """The loss at one large step from a random point of the ball."""

    label: ClassVar[str] = "FGSM"

    @property
    def gradients(self) -> int:
        """One: the step's."""
        return FAST_STEP.gradients

    def adversarial_inputs(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return x + delta, [P, B, D]."""
        start = FAST_STEP.random_starts(x, generator)
        return FAST_STEP.perturb(net, x, y, radius, self.bounds, start)


register(FGSMTraining(name="fgsm-linf", norm="linf"))
