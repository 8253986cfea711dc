"""What a defense is: a training loss for packs.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from robust.checks import (
    Numbers,
    Radius,
    check_batch,
    check_bounds,
    check_generator,
    pack_radius,
)
from robust.losses import Loss, cross_entropy
from robust.networks.linearization import Network
from robust.norms import Norm
from robust.registry import Registry

UNBOUNDED = (-float("inf"), float("inf"))


@dataclass(frozen=True)
class Defense(ABC):
    """A training method.

    Attributes:
        name: as in the registry.
        norm: of the training ball; None where there is no ball.
        loss_function: of class differences; must satisfy Assumptions 3.1 and 3.2.
        bounds: of the inputs; attacks made for training are clipped to them.
    """

    name: str
    norm: Norm | None
    loss_function: Loss = cross_entropy
    bounds: tuple[float, float] = UNBOUNDED

    @abstractmethod
    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of each example, [P, B]; arguments are not checked.

        Args:
            net: P networks.
            x: [B, D] or [P, B, D].
            y: labels, [B].
            radius: true radius of each network's ball, [P].
            generator: source of randomness, for defenses that need one.
        """

    def loss(
        self,
        net: Network,
        x: Numbers,
        y: Numbers,
        radius: Radius,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the mean loss of each network over the batch, differentiable.

        Args:
            net: P networks.
            x: inputs, [B, D] or [P, B, D], B >= 1, in scaled input units, of any real type; taken
                to the network's.
            y: labels in 0..K-1, [B], of any integer type.
            radius: true radius of the ball, a number or [P], finite and >= 0.
            generator: source of randomness, for defenses that need one.

        Returns:
            [P], in the network's type.

        Raises:
            ValueError: no inputs; inputs that are not finite or lie outside the bounds; shapes,
                types or devices that do not fit; labels, radii or bounds out of range.
        """
        inputs, labels = check_batch(net, x, y)
        check_bounds(self.bounds, inputs)
        check_generator(generator, inputs)
        radii = pack_radius(radius, net.num_networks, inputs)
        return self.example_losses(net, inputs, labels, radii, generator).mean(dim=1)


DEFENSES: Registry[Defense] = Registry("defense")


def register(defense: Defense) -> Defense:
    """Add a defense to the registry, and so to the grid and the contract tests."""
    return DEFENSES.add(defense.name, defense)
