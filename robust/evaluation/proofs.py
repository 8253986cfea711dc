"""Certificates by any method, in float64 and with margins for rounding.

As in `certifier`, what is proven holds for the networks' weights in exact arithmetic or for the
networks as they run, and the networks as given must say the same class at the input itself.

Legend: P networks in the pack, B batch, D input features, K classes, R radii.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
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

    def largest(self, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
        """Return the index of each example's largest certified radius, -1 for none, [B].

        Args:
            x: [B, D].
            y: labels, [B].
            radii: float64, strictly increasing, [R].
        """


class RUBProver:
    """RUB's certificates, by its own search; with t optimised where asked."""

    def __init__(self, net: Any, of: Subject, tight: bool = False) -> None:
        self.certifier, self.tight = Certifier(net, of), tight

    def certified(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples provably keep their class, [P, B]."""
        if self.tight:
            return self.certifier.certified_tight(x, y, radius)
        return self.certifier.certified(x, y, radius)

    def largest(self, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
        """Return the index of each example's largest certified radius, -1 for none, [B]."""
        return self.certifier.largest(x, y, radii, tight=self.tight)


# Methods that decide faster than by computing their bounds.
_FASTER: dict[str, Callable[[Any, Subject], Prover]] = {
    "rub": RUBProver,
    "rub-tight": lambda net, of: RUBProver(net, of, tight=True),
}


# What shows that there is no proof to look for, by norm: few passes each.
REFUTED_BY: dict[Norm, tuple[str, ...]] = {
    "l1": ("fgm-l1", "vertex-l1"),
    "l2": ("fgm-l2",),
    "linf": ("fgsm-linf",),
}


class StagedProver:
    """Certificates by the bounds of one or several methods, the cheap ones first.

    A class is settled by the first method whose bound is below 0. Later methods see only examples
    of which a class is still open and that no quick attack breaks: there is nothing to prove.
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
        several = len(stages) > 1 and costs is None
        faster = [_FASTER[one.name] for one in stages if one.name in _FASTER]
        self.quick = faster[0](net, of) if several and faster else None

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
            left &= ~self._broken(x, y, radius, left)
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

    def _broken(self, x: Tensor, y: Tensor, radius: Tensor, left: Tensor) -> Tensor:
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

    @torch.no_grad()
    def largest(self, x: Tensor, y: Tensor, radii: Tensor) -> Tensor:
        """Return the index of each example's largest certified radius, -1 for none, [B]."""
        radii = round_up(radii, x.dtype).to(x.device)
        low, high = torch.full_like(y, -1), torch.full_like(y, len(radii))
        while (at := (high - low > 1).nonzero().squeeze(1)).numel():
            middle = (low + high)[at] // 2
            holds = self.certified(x[at], y[at], radii[middle].unsqueeze(0))[0]
            low[at] = torch.where(holds, middle, low[at])
            high[at] = torch.where(holds, high[at], middle)
        return low


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
