"""APGD-L1 training: the loss at the points of APGD in the L1 ball (Croce, Hein 2021, "Mind the
Box", section 5).

Minimises L(y, z(x + delta)), delta from ten steps of APGD-L1, which begins with a twentieth of the
features: the best point by its loss.

Legend: P networks in the pack, B batch, D input features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robust.attacks.apgd import APGD, APGD_L1
from robust.defenses.adversarial import AdversarialTraining, check_ascent
from robust.defenses.base import register
from robust.networks.linearization import Network


@dataclass(frozen=True)
class APGDTraining(AdversarialTraining):
    """The loss at the best point of APGD.

    Attributes:
        num_steps: of the attack, at least 1.
        sparsity: the share of the features that its first steps move, in (0, 1].
    """

    label: ClassVar[str] = "APGD"

    num_steps: int = 10
    sparsity: float = 0.05

    def __post_init__(self) -> None:
        """Refuse an attack without steps or features.

        Raises:
            ValueError: the message names the field.
        """
        check_ascent(self.name, self.num_steps, APGD_L1.relative_step_size)
        if not 0 < self.sparsity <= 1:
            raise ValueError(f"defense {self.name!r}: sparsity={self.sparsity} must be in (0, 1]")

    @property
    def attack(self) -> APGD:
        """The attack that it trains with."""
        return replace(APGD_L1, num_steps=self.num_steps, sparsity=self.sparsity, keep_best=False)

    @property
    def gradients(self) -> int:
        """One at the start, and one after each step."""
        return self.attack.gradients

    def adversarial_inputs(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the attack's points, [P, B, D]."""
        start = self.attack.random_starts(x, generator)
        return self.attack.perturb(net, x, y, radius, self.bounds, start)


register(APGDTraining(name="apgd-l1", norm="l1"))
