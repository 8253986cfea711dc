"""What a defense is: a training loss for packs.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from robust.checks import Radius, check_bounds, check_inputs, check_labels, pack_radius
from robust.losses import Loss, cross_entropy
from robust.networks.linearization import Network
from robust.norms import Norm
from robust.registry import Registry

UNBOUNDED = (-float("inf"), float("inf"))
ALL_KINDS: Final[tuple[str, ...]] = ("mlp", "cnn")


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
    network_kinds: ClassVar[tuple[str, ...]] = ALL_KINDS  # that it can train (robust.supports)

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
        x: Tensor,
        y: Tensor,
        radius: Radius,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return the mean loss of each network over the batch, differentiable.

        Args:
            net: P networks.
            x: inputs, [B, D] or [P, B, D], in scaled input units.
            y: labels in 0..K-1, [B], int64.
            radius: true radius of the ball, a number or [P], finite and >= 0.
            generator: source of randomness, for defenses that need one.

        Returns:
            [P].

        Raises:
            ValueError: inputs that are not finite, shapes that do not fit, labels or radii
                out of range.
        """
        check_inputs(x, net.num_networks, net.num_features)
        check_labels(y, x.shape[-2], net.num_classes)
        check_bounds(self.bounds)
        radii = pack_radius(radius, net.num_networks, x)
        return self.example_losses(net, x, y, radii, generator).mean(dim=1)


DEFENSES: Registry[Defense] = Registry("defense")


def register(defense: Defense) -> Defense:
    """Add a defense to the registry, and so to the grid and the contract tests."""
    return DEFENSES.add(defense.name, defense)
