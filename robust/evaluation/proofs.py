"""Certificates by any method, in float64 and with margins for rounding.

As in `certifier`, what is proven holds for the networks' weights in exact arithmetic or for the
networks as they run, and the networks as given must say the same class at the input itself.

Legend: P networks in the pack, B batch, D input features, K classes, R radii.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from robust import attacks
from robust.attacks.base import UNBOUNDED
from robust.attacks.margins import error_gap
from robust.bounds import methods
from robust.bounds.methods import Method
from robust.bounds.methods.base import Bounds
from robust.bounds.rounding import round_up
from robust.evaluation.certifier import Certifier
from robust.evaluation.subject import EXACT, Subject, subject
from robust.norms import Norm


class Prover(Protocol):
    """Certificates of one pack by one method; its parameters must not change afterwards."""

    def certified(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples provably keep their class, [P, B]; `radius` is [P, B]."""

    def proven(self, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
        """Return what is proven at each of several radii, as if it were the only one, [R, B].

        Args:
            x: [B, D].
            y: labels, [B].
            radii: float64, strictly increasing, [R].
        """


def largest(prover: Prover, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
    """Return the index of each example's largest certified radius, -1 for none, [B].

    Args:
        prover: of a pack of one network.
        x, y, radii: as for `Prover.proven`.
    """
    levels = torch.arange(len(radii), device=x.device).unsqueeze(1)
    found = levels.where(prover.proven(x, y, radii), levels.new_tensor(-1))
    return torch.cat([found, torch.full_like(found[:1], -1)]).amax(dim=0)


# What shows that there is no proof to look for, by norm: few passes each.
REFUTED_BY: dict[Norm, tuple[str, ...]] = {
    "l1": ("fgm-l1", "vertex-l1"),
    "l2": ("fgm-l2",),
    "linf": ("fgsm-linf",),
}


@dataclass(frozen=True)
class Refuter:
    """Quick attacks on one pack: where one succeeds there is nothing to prove.

    Attributes:
        net: P networks.
        norm: of the balls.
        costs: of weighted L1 balls, [D]; None for plain ones.
    """

    net: Any
    norm: Norm
    costs: Tensor | None = None

    def broken(self, x: Tensor, y: Tensor, radius: Tensor, left: Tensor) -> Tensor:
        """Return which of the examples that are left, [P, B], some quick attack breaks."""
        broken = torch.zeros_like(left)
        costs = None if self.costs is None else self.costs.to(x.dtype)
        for name in REFUTED_BY[self.norm]:
            some = (left & ~broken).any(dim=0).nonzero().squeeze(1)
            if not len(some):
                break
            at = x[..., some, :], y[some], radius[:, some]
            attack = attacks.get(name).with_costs(costs)
            point = attack.perturb(self.net, *at, UNBOUNDED, None)
            broken[:, some] |= error_gap(self.net(point), y[some]) > 0
        return broken

    def first_broken(
        self, x: Tensor, y: Tensor, radii: Tensor, low: Tensor, high: Tensor
    ) -> Tensor:
        """Return the index of the smallest radius at which bisection finds an attack, [B].

        Args:
            x: [B, D].
            y: labels, [B].
            radii: in the type of `x`, strictly increasing, [R].
            low: index of a radius that is proven, -1 for none, [B].
            high: index from which on nothing is to be proven, [B].
        """
        while (at := (high - low > 1).nonzero().squeeze(1)).numel():
            middle = (low + high)[at] // 2
            left = torch.ones(1, len(at), dtype=torch.bool, device=x.device)
            broken = self.broken(x[at], y[at], radii[middle].unsqueeze(0), left)[0]
            high = high.scatter(0, at, torch.where(broken, middle, high[at]))
            low = low.scatter(0, at, torch.where(broken, low[at], middle))
        return high


# (examples [N], radii [1, N]) -> which of them are proven, [N]
Decide = Callable[[Tensor, Tensor], Tensor]


def each_alone(
    refuter: Refuter, x: Tensor, y: Tensor, radii: Tensor, low: Tensor, decide: Decide
) -> Tensor:
    """Return what is proven at each radius, [R, B], asking only where the answer is open.

    Args:
        refuter: of a pack of one network.
        x: [B, D].
        y: labels, [B].
        radii: in the type of `x`, strictly increasing, [R].
        low: index up to which all radii are proven, by bounds that grow with the radius, [B].
        decide: says which pairs of an example and a radius are proven.
    """
    said = error_gap(refuter.net(x), y)[0] < 0
    high = torch.where(said, torch.full_like(low, len(radii)), low + 1)
    high = refuter.first_broken(x, y, radii, low, high)
    levels = torch.arange(len(radii), device=x.device).unsqueeze(1)
    holds = levels <= low
    level, at = (~holds & (levels < high)).nonzero(as_tuple=True)
    if len(at):
        holds[level, at] = decide(at, radii[level].unsqueeze(0))
    return holds


class RUBProver:
    """RUB's certificates, by its own search; with t optimised where asked."""

    def __init__(self, net: Any, of: Subject, tight: bool = False) -> None:
        self.certifier, self.tight = Certifier(net, of), tight

    def certified(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples provably keep their class, [P, B]."""
        if self.tight:
            return self.certifier.certified_tight(x, y, radius)
        return self.certifier.certified(x, y, radius)

    def proven(self, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
        """Return what is proven at each radius, [R, B]; with the paper's t the bounds grow."""
        low = self.certifier.largest(x, y, radii)
        if not self.tight:
            return torch.arange(len(radii), device=x.device).unsqueeze(1) <= low

        def decide(at: Tensor, radius: Tensor) -> Tensor:
            return self.certifier.certified_tight(x[at], y[at], radius)[0]

        exact = round_up(radii, x.dtype).to(x.device)
        return each_alone(Refuter(self.certifier.net, "l1"), x, y, exact, low, decide)


# Methods that decide faster than by computing their bounds.
_FASTER: dict[str, Callable[[Any, Subject], RUBProver]] = {
    "rub": RUBProver,
    "rub-tight": lambda net, of: RUBProver(net, of, tight=True),
}


class StagedProver:
    """Certificates by the bounds of one or several methods, the cheap ones first.

    A class is settled by the first method whose bound is below 0. Later methods see only examples
    of which a class is still open and that no quick attack breaks: there is nothing to prove.

    At several radii only what cannot depend on the others is shared: RUB's certificates, which
    hold at every smaller radius too, and what an attack finds, which lies in every larger ball.
    CROWN's slopes change with the radius, so that it may prove one and not a smaller one. It
    decides at each radius between the two on its own.
    """

    def __init__(
        self,
        net: Any,
        stages: Sequence[Method],
        norm: Norm,
        costs: Tensor | None,
        of: Subject,
    ) -> None:
        self.net, self.stages, self.norm, self.subject = net, stages, norm, of
        wide = next(net.parameters()).dtype == torch.float64
        self.exact = net if wide else copy.deepcopy(net).double()
        self.costs = None if costs is None else costs.double()
        self.refuter = Refuter(net, norm, costs)
        several = len(stages) > 1 and costs is None
        faster = [_FASTER[one.name] for one in stages if one.name in _FASTER]
        self.quick: RUBProver | None = faster[0](net, of) if several and faster else None

    @torch.no_grad()
    def certified(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples provably keep their class, [P, B]."""
        said = error_gap(self.net(x), y) < 0
        holds = torch.zeros_like(said)
        if self.quick is not None:
            some = said.any(dim=0).nonzero().squeeze(1)
            if len(some):
                holds[:, some] = self.quick.certified(x[..., some, :], y[some], radius[:, some])
        left = said & ~holds
        if len(self.stages) > 1:
            left &= ~self.refuter.broken(x, y, radius, left)
        return holds | self._by_stages(x, y, radius, left)

    def _by_stages(self, x: Tensor, y: Tensor, radius: Tensor, left: Tensor) -> Tensor:
        """Return which of the examples that are left, [P, B], the methods prove together."""
        open_ = left.unsqueeze(2).repeat(1, 1, self.net.num_classes - 1)
        for method in self.stages:
            some = open_.any(dim=2).any(dim=0).nonzero().squeeze(1)
            if not len(some):
                break
            wide, labels = x[..., some, :].double(), y[some]
            reach = self.subject.furthest(wide, radius[:, some].double())
            upper, slack = method.bounds(self.exact, wide, labels, reach, self.norm, self.costs)
            slack = slack + self.subject.margin(wide, labels, reach)
            open_[:, some] &= ~Bounds(upper, slack).below_zero
        return left & ~open_.any(dim=2)

    @torch.no_grad()
    def proven(self, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
        """Return what is proven at each of several radii, as if it were the only one, [R, B]."""
        exact, low = round_up(radii, x.dtype).to(x.device), torch.full_like(y, -1)
        if self.quick is not None:
            low = self.quick.certifier.largest(x, y, radii)

        def decide(at: Tensor, radius: Tensor) -> Tensor:
            left = torch.ones(1, len(at), dtype=torch.bool, device=x.device)
            return self._by_stages(x[at], y[at], radius, left)[0]

        return each_alone(self.refuter, x, y, exact, low, decide)


def prover(
    net: Any,
    method: str,
    norm: Norm = "l1",
    costs: Tensor | None = None,
    precision: str = EXACT,
) -> Prover:
    """Return the certificates of a pack by a method.

    Args:
        net: P networks.
        method: its name.
        norm: of the ball.
        costs: of the weighted L1 ball, > 0, [D]; None is 1 for all.
        precision: exact, or as run (`robust.evaluation.subject`).

    Raises:
        ValueError: the method or the precision is unknown, or the method is not made for the
            network, the norm or costs.
    """
    chosen = methods.get(method)
    chosen.check(net, norm, costs is not None)
    faster, of = _FASTER.get(method), subject(precision, net, norm, costs)
    if faster is not None and costs is None:
        return faster(net, of)
    stages = chosen.parts_for(net, norm, costs is not None)
    return StagedProver(net, stages, norm, costs, of)
