"""PGD training: the loss at inputs found by projected gradient ascent (Madry et al. 2018).

Minimises L(y, z(x + delta)), delta from foolbox's PGD with its default steps and random start.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust import attacks
from robust.defenses.base import Defense, register
from robust.losses import class_differences
from robust.networks.linearization import Network


@dataclass(frozen=True)
class PGDTraining(Defense):
    """The loss at adversarial inputs, which are held constant."""

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return L(y, z(x_adv)) for each example, [P, B]."""
        assert self.norm is not None
        attack = attacks.get(f"pgd-{self.norm}")
        x_adv = attack.perturb(net, x, y, radius.unsqueeze(1), self.bounds, generator)
        return self.loss_function(class_differences(net(x_adv), y))


register(PGDTraining(name="pgd-l1", norm="l1"))
register(PGDTraining(name="pgd-l2", norm="l2"))
register(PGDTraining(name="pgd-linf", norm="linf"))
