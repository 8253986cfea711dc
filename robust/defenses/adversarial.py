"""Adversarial training: the loss at inputs that an attack finds (Madry et al. 2018).

Minimises L(y, z(x + delta)) with delta held constant (Danskin's theorem: the gradient of a
maximum is the gradient at the maximiser).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.attacks.gradient import GradientAttack
from robust.defenses.base import Defense, StepCost
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize


@dataclass(frozen=True)
class AdversarialTraining(Defense):
    """The loss at adversarial inputs, which carry no gradient."""

    @property
    @abstractmethod
    def gradients(self) -> int:
        """How many gradients at the inputs the attack takes of each example."""

    def step_cost(self, size: NetworkSize) -> StepCost:
        """A pass forward and backward, and two for each gradient at the inputs."""
        products = (3 + 2 * self.gradients) * size.products - size.first_layer
        # An ascent's terms at the inputs; a process keeps what it has freed of them.
        return StepCost(products, 4 * size.units + 12 * size.num_features)

    @abstractmethod
    def adversarial_inputs(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the inputs at which the loss is taken, [P, B, D].

        Args:
            net: P networks.
            x: [B, D] or [P, B, D].
            y: labels, [B].
            radius: true radius of each example's ball, [P, B].
            generator: source of the random start.
        """

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return L(y, z(x_adv)) for each example, [P, B]."""
        x_adv = self.adversarial_inputs(net, x, y, radius, generator)
        return self.loss_function(class_differences(net(x_adv), y))


def ascent(num_steps: int, step_size: float) -> GradientAttack:
    """Return PGD over Linf balls from a random point, in steps of this share of the radius."""
    return GradientAttack(
        "pgd of a defense", "linf", random=True, num_steps=num_steps, relative_step_size=step_size
    )


def check_ascent(name: str, num_steps: int, step_size: float) -> None:
    """Refuse hyperparameters of a defense whose attack makes no step.

    Raises:
        ValueError: fewer steps than 1, or a size that is not positive and finite.
    """
    if num_steps < 1:
        raise ValueError(f"defense {name!r}: num_steps={num_steps} must be at least 1")
    if not 0 < step_size < float("inf"):
        raise ValueError(f"defense {name!r}: step_size={step_size} must be > 0 and finite")
