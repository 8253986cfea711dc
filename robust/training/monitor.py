"""What is measured on the minibatch while training: Table 1's checks and Figure 1's traces.

Every measurement is taken on the minibatch of a step, at the parameters before its update, with
random starts of its own, so that it changes nothing about the training.

Legend: P networks in the pack, G networks handled together, B batch, R radii, D input features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from math import isfinite
from typing import Any, Literal

import torch
from torch import Tensor

from robust import attacks, defenses
from robust.attacks.base import UNBOUNDED
from robust.checks import for_each_example
from robust.defenses.base import Defense
from robust.evaluation.attack_batches import GROUP
from robust.losses import class_differences, cross_entropy
from robust.norms import Norm
from robust.seeds import derived_seed

Quantity = Literal["bound_holds", "objective", "adversarial_loss"]

ROUNDING = 1e-9  # relative; both sides of the comparison are computed in float64


@dataclass(frozen=True)
class Observation:
    """One number measured while training one network.

    Attributes:
        step: whose minibatch it was measured on, before its update.
        quantity: bound_holds (0 or 1), objective or adversarial_loss.
        norm: of the ball; None where there is no ball.
        radius: as its check names it; None is the network's own training radius.
        value: None once the network has diverged.
    """

    step: int
    quantity: Quantity
    norm: Norm | None
    radius: float | None
    value: float | None


@dataclass(frozen=True)
class BoundCheck:
    """Is aRUB-Lp's objective at least the loss under PGD-Lp? (Table 1).

    Attributes:
        norm: p.
        radii: true radii.
        names: of the radii, in the observations.
    """

    norm: Norm
    radii: tuple[float, ...]
    names: tuple[float, ...]


@dataclass(frozen=True)
class Checks:
    """Bound checks of some networks of a pack."""

    every: int  # steps
    networks: tuple[int, ...]
    balls: tuple[BoundCheck, ...]


@dataclass(frozen=True)
class Trace:
    """The objective and the adversarial loss of all networks of a pack (Figure 1)."""

    every: int  # steps
    defense: Defense
    radius: Tensor  # true training radii, [P]


class Monitor:
    """Collects observations of a pack while it trains."""

    def __init__(
        self,
        net: Any,
        seed: int,
        bounds: tuple[float, float] = UNBOUNDED,
        checks: Checks | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.net, self.seed, self.bounds = net, seed, bounds
        self.checks, self.trace = checks, trace
        self.found: list[list[Observation]] = [[] for _ in range(net.num_networks)]

    def __call__(self, step: int, x: Tensor, y: Tensor) -> None:
        """Measure what is due at this step.

        Args:
            step: counted from 1.
            x: its minibatch, [B, D].
            y: labels, [B].
        """
        if self.checks is not None and step % self.checks.every == 0:
            self._check(self.checks, step, x, y)
        if self.trace is not None and step % self.trace.every == 0:
            self._trace(self.trace, step, x, y)

    def is_due(self, step: int) -> bool:
        """Return whether anything is measured at a step: else no minibatch is gathered for it."""
        asked = [each.every for each in (self.checks, self.trace) if each is not None]
        return any(step % every == 0 for every in asked)

    def state_dict(self) -> dict[str, Any]:
        """Return what was seen so far; nothing else is kept from one step to the next."""
        return {"found": [[astuple(one) for one in own] for own in self.found]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what was seen before."""
        self.found = [[Observation(*one) for one in own] for own in state["found"]]

    def observations(
        self, diverged_step: Sequence[int | None]
    ) -> tuple[tuple[Observation, ...], ...]:
        """Return what was seen of each network, without values from its divergence on."""
        return tuple(
            tuple(_until(one, lost) for one in own)
            for own, lost in zip(self.found, diverged_step, strict=True)
        )

    def _check(self, checks: Checks, step: int, x: Tensor, y: Tensor) -> None:
        size = GROUP.get(x.device.type, 1)
        for i in range(0, len(checks.networks), size):
            some = checks.networks[i : i + size]
            pack = self.net.subset(some)
            for ball in checks.balls:
                seed = derived_seed(self.seed, "bound check", ball.norm, step)
                holds = bound_holds(pack, x, y, ball, seed, self.bounds)
                for p, row in zip(some, holds.double().tolist(), strict=True):
                    self.found[p] += [
                        Observation(step, "bound_holds", ball.norm, name, value)
                        for name, value in zip(ball.names, row, strict=True)
                    ]

    @torch.no_grad()
    def _trace(self, trace: Trace, step: int, x: Tensor, y: Tensor) -> None:
        method, norm = trace.defense, trace.defense.norm
        generator = torch.Generator(x.device)
        generator.manual_seed(derived_seed(self.seed, "objective", step))
        radius = for_each_example(trace.radius, len(y))
        objective = method.mean_losses(self.net, x, y, radius, generator)
        self._keep(step, "objective", norm, objective)
        if norm is not None:
            attack = attacks.get(f"pgd-{norm}").with_costs(method.feature_costs)
            generator.manual_seed(derived_seed(self.seed, "adversarial loss", step))
            start = attack.random_starts(x, generator)
            x_adv = attack.perturb(self.net, x, y, radius, self.bounds, start)
            losses = method.loss_function(class_differences(self.net(x_adv), y))
            self._keep(step, "adversarial_loss", norm, losses.mean(dim=1))

    def _keep(self, step: int, quantity: Quantity, norm: Norm | None, values: Tensor) -> None:
        for own, value in zip(self.found, values.double().tolist(), strict=True):
            own.append(Observation(step, quantity, norm, None, value))


def _until(one: Observation, lost: int | None) -> Observation:
    gone = lost is not None and one.step >= lost
    if one.value is not None and (gone or not isfinite(one.value)):
        return Observation(one.step, one.quantity, one.norm, one.radius, None)
    return one


@torch.no_grad()
def bound_holds(
    net: Any,
    x: Tensor,
    y: Tensor,
    ball: BoundCheck,
    seed: int,
    bounds: tuple[float, float] = UNBOUNDED,
) -> Tensor:
    """Return whether aRUB's mean loss is at least that at PGD's points, [P, R], boolean.

    PGD (foolbox's default) runs in the network's precision, all radii at once and from the same
    random starts; the two cross-entropies that are compared are then computed in float64, so
    that rounding decides nothing (at radius 0 they are equal).

    Args:
        net: P networks.
        x: [B, D].
        y: labels, [B].
        ball: norm and radii.
        seed: of the random starts.
        bounds: of the inputs.
    """
    attack, count = attacks.get(f"pgd-{ball.norm}"), len(ball.radii)
    generator = torch.Generator(x.device).manual_seed(seed)
    noise = attack.random_starts(x, generator)(0).repeat(count, 1)
    radii = torch.tensor(ball.radii, dtype=x.dtype, device=x.device)
    each = radii.repeat_interleave(len(x)).expand(net.num_networks, -1)
    many = x.repeat(count, 1), y.repeat(count)
    x_adv = attack.perturb(net, *many, each, bounds, lambda _: noise)
    exact = net.subset(range(net.num_networks)).double()
    adversarial = cross_entropy(class_differences(exact(x_adv.double()), many[1]))
    adversarial = adversarial.view(net.num_networks, count, len(x)).mean(dim=2)
    arub = defenses.get(f"arub-{ball.norm}")
    wide = x.double()
    ones = wide.new_ones(()).expand(net.num_networks, len(x))
    objective = torch.stack(
        [arub.example_losses(exact, wide, y, r * ones, None).mean(dim=1) for r in radii.double()],
        dim=1,
    )
    return objective >= adversarial * (1 - ROUNDING)
