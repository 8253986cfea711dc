"""What an attack is: inputs within a ball at which networks of a pack err.

Legend: P networks in the pack, N inputs (examples, or examples x radii), B batch, D input
features, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from robust.checks import (
    Numbers,
    Radius,
    check_batch,
    check_bounds,
    check_costs,
    check_generator,
    for_each_example,
    pack_radius,
)
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.norms import Norm, sample_unit_ball
from robust.registry import CostKinds, Registry, refuse_costs

# Attempt number -> where it starts in the unit ball, [N, D] or [P, N, D].
RandomStart = Callable[[int], Tensor]

UNBOUNDED = (-float("inf"), float("inf"))


@dataclass(frozen=True)
class Attack(ABC):
    """An attack on packs. A new one is one file in this folder.

    Attributes:
        label: the method's name in print, without the norm.
        network_kinds: of networks that it attacks; None for every kind.
        joint: whether what it makes of an input depends on the others that it is given with it,
            as where it draws random numbers for all of them: one radius at a time, then.
        cost_kinds: of networks that it attacks in L1 balls in which features have costs; None for
            every kind, () for none.
        name: as in the registry.
        norm: of the ball.
        random: whether it starts at random.
        costs: of the ball sum_m c_m |delta_m| <= radius, > 0, [D], infinite where a feature stays;
            None is 1 for all.
    """

    label: ClassVar[str]
    network_kinds: ClassVar[tuple[str, ...] | None] = None
    joint: ClassVar[bool] = False
    cost_kinds: ClassVar[CostKinds] = ()

    name: str
    norm: Norm
    random: bool = False
    costs: Tensor | None = field(default=None, kw_only=True, compare=False, repr=False)

    def with_costs(self, costs: Tensor | None) -> Attack:
        """Return the same attack in a ball with costs, [D]; None leaves it as it is.

        Raises:
            ValueError: it knows no such balls.
        """
        if costs is None:
            return self
        refuse_costs(f"attack {self.name!r}", self.norm, self.cost_kinds)
        return replace(self, costs=costs)

    @abstractmethod
    def products(self, size: NetworkSize) -> float:
        """Return the multiply-adds that attacking one input of such a network takes."""

    @abstractmethod
    def perturb(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
        start: RandomStart | None,
    ) -> Tensor:
        """Return adversarial inputs, [P, N, D]; arguments are not checked.

        Args:
            net: P networks.
            x: [N, D] or [P, N, D].
            y: labels, [N] or [P, N].
            radius: true radius of each input's ball, [P, N].
            bounds: the result is clipped to them.
            start: gives the random start of each attempt; None starts at x.
        """

    def random_starts(self, x: Tensor, generator: torch.Generator | None) -> RandomStart:
        """Return random starts for the inputs x, [B, D] or [P, B, D].

        Each input has one start, the same for all networks, so that a network's result does
        not depend on its pack.
        """
        shape = tuple(x.shape[-2:])
        return lambda attempt: sample_unit_ball(shape, self.norm, x, generator)

    def __call__(
        self,
        net: Network,
        x: Numbers,
        y: Numbers,
        radius: Radius,
        bounds: tuple[float, float] = UNBOUNDED,
        generator: torch.Generator | None = None,
        random_start: bool = True,
        costs: Numbers | None = None,
    ) -> Tensor:
        """Return adversarial inputs for every network.

        Args:
            net: P networks.
            x: inputs, [B, D] or [P, B, D], B >= 1, in scaled input units, of any real type; taken
                to the network's.
            y: labels in 0..K-1, [B], of any integer type.
            radius: true radius of the ball, a number or [P], finite and >= 0.
            bounds: (lo, hi), in which all inputs lie; the result is clipped to them.
            generator: source of the random start; None is torch's global one.
            random_start: whether to start at random, where the attack can.
            costs: > 0, [D], for the L1 ball sum_m c_m |delta_m| <= radius; infinite where a
                feature cannot be moved, which then stays bit for bit. None is 1 for all.

        Returns:
            [P, B, D], in the network's type, within the ball and the bounds.

        Raises:
            ValueError: no inputs; inputs that are not finite or lie outside the bounds; shapes,
                types or devices that do not fit; labels, radii, bounds or costs out of range;
                costs where the attack takes none.
        """
        method = self.with_costs(None if costs is None else check_costs(costs, net))
        inputs, labels = check_batch(net, x, y)
        limits = check_bounds(bounds, inputs)
        check_generator(generator, inputs)
        radii = pack_radius(radius, net.num_networks, inputs)
        start = self.random_starts(inputs, generator) if self.random and random_start else None
        each = for_each_example(radii, len(labels))
        return method.perturb(net, inputs, labels, each, limits, start)


ATTACKS: Registry[Attack] = Registry("attack")


def register(attack: Attack) -> Attack:
    """Add an attack to the registry, and so to the grid and the contract tests.

    Raises:
        ValueError: the name is taken; the class declares no label.
    """
    if not getattr(attack, "label", ""):
        raise ValueError(f"attack {attack.name!r} declares no label")
    return ATTACKS.add(attack.name, attack)
