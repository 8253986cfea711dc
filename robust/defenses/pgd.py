"""PGD training: the loss at inputs found by projected gradient ascent (Madry et al. 2018).

Minimises L(y, z(x + delta)), delta from foolbox's PGD with its default steps and random start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust import attacks
from robust.attacks.gradient import GradientAttack
from robust.defenses.adversarial import AdversarialTraining
from robust.defenses.base import register
from robust.networks.linearization import Network
from robust.registry import CostKinds


@dataclass(frozen=True)
class PGDTraining(AdversarialTraining):
    """The loss at the last iterate of PGD."""

    label: ClassVar[str] = "PGD"
    cost_kinds: ClassVar[CostKinds] = None

    @property
    def gradients(self) -> int:
        """One for each of the attack's steps."""
        attack = attacks.get(f"pgd-{self.norm}")
        assert isinstance(attack, GradientAttack)
        return attack.gradients

    def adversarial_inputs(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the points of the attack of this norm's ball, [P, B, D]."""
        attack = attacks.get(f"pgd-{self.norm}").with_costs(self.feature_costs)
        start = attack.random_starts(x, generator)
        return attack.perturb(net, x, y, radius, self.bounds, start)


register(PGDTraining(name="pgd-l1", norm="l1"))
register(PGDTraining(name="pgd-l2", norm="l2"))
register(PGDTraining(name="pgd-linf", norm="linf"))
