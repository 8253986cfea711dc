"""Certificates of packs, by RUB, in float64 and with margins for rounding.

What is proven holds for the networks' weights in exact arithmetic, or for the networks as they run
(`robust.evaluation.subject`). The networks as they are given must say the same class at the input
itself, in their own precision.

For float32 networks a search in float32 first discards the examples that have no chance; what
remains is decided in float64, where the network's parameters are exact.

Legend: P networks in the pack, B batch, D input features, K classes, R radii.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from robust import attacks
from robust.attacks.base import UNBOUNDED
from robust.attacks.margins import error_gap
from robust.bounds import rub
from robust.bounds import tight as rub_tight
from robust.bounds.rounding import RoundingSlack, proves, round_up
from robust.evaluation.subject import Exact, Subject
from robust.losses import class_differences

# A float32 bound this many float64 slacks above 0 is not looked at in float64. 2^29 is the ratio
# of the roundoffs; what rounding really does is far below a thousandth of the slack.
FLOAT32_MARGIN = 2.0**29 / 1000


class Certifier:
    """Certificates of one pack; its parameters must not change afterwards.

    Arguments are not checked. x is [B, D] or [P, B, D], y is [B], a radius [P, B].
    """

    def __init__(self, net: Any, subject: Subject | None = None) -> None:
        """Prepare what all certificates share.

        Args:
            net: P networks.
            subject: what the certificates speak of; None is the weights in exact arithmetic.
        """
        self.net, self.subject = net, subject or Exact()
        wide = next(net.parameters()).dtype == torch.float64
        self.exact = net if wide else copy.deepcopy(net).double()
        self.slack = RoundingSlack(self.exact)

    @torch.no_grad()
    def promising(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples the network's own precision does not rule out, [P, B]."""
        if self.exact is self.net:
            return self._proven(x, y, radius)
        slack = self.slack(x.double(), y, radius.double())[0]
        return rub.below(self.net, x, y, radius, (slack * FLOAT32_MARGIN).to(x.dtype))

    @torch.no_grad()
    def classifies(self, x: Tensor, y: Tensor) -> Tensor:
        """Return where the networks as given say y and nothing else as loudly, [P, B]."""
        return error_gap(self.net(x), y) < 0

    @torch.no_grad()
    def certified(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples provably keep their class, [P, B]."""
        holds = self.promising(x, y, radius) & self.classifies(x, y)
        some = holds.any(dim=0).nonzero().squeeze(1)
        if self.exact is not self.net and len(some):
            at = x[..., some, :].double(), y[some], radius[:, some].double()
            holds[:, some] &= self._proven(*at)
        return holds

    @torch.no_grad()
    def certified_tight(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples provably keep their class, t optimised, [P, B]."""
        holds = self.certified(x, y, radius)
        open_ = self._open_classes(x, y, radius, holds | ~self.classifies(x, y))
        some = open_.any(dim=2).any(dim=0).nonzero().squeeze(1)
        if len(some):
            open_, x, y, radius = open_[:, some], x[..., some, :], y[some], radius[:, some]
            reach = self.subject.furthest(x, radius)
            asked = round_up(reach, x.dtype)
            bounds = rub_tight.bounds_of(self.net, x, y, asked, open_, exact=self.exact)
            below = proves(bounds, -self._slack(x.double(), y, asked.double())[0])
            holds[:, some] |= open_.any(dim=2) & (below | ~open_).all(dim=2)
        return holds

    @torch.no_grad()
    def largest(self, x: Tensor, y: Tensor, radii: Tensor, tight: bool = False) -> Tensor:
        """Return the index of each example's largest certified radius, -1 where there is none.

        Args:
            x: [B, D].
            y: labels, [B].
            radii: float64, strictly increasing, [R].
            tight: optimise t.

        Returns:
            [B], int64, for a pack of one network.
        """
        if not len(y):
            return torch.empty_like(y)
        radii = round_up(radii, x.dtype)
        said = self.classifies(x, y)[0]
        low = torch.full_like(y, -1)  # radii[low] is promising
        high = torch.full_like(y, len(radii))  # radii[high] is not
        while (at := (high - low > 1).nonzero().squeeze(1)).numel():
            middle = (low + high)[at] // 2
            holds = self.promising(x[at], y[at], radii[middle].unsqueeze(0))[0]
            low[at] = torch.where(holds, middle, low[at])
            high[at] = torch.where(holds, high[at], middle)
        at = (low >= 0).nonzero().squeeze(1) if self.exact is not self.net else low[:0]
        while len(at):  # what is promising is seldom not proven
            exact = radii[low[at]].unsqueeze(0).double()
            holds = self._proven(x[at].double(), y[at], exact)[0]
            low[at] -= (~holds).long()
            at = at[~holds & (low[at] >= 0)]
        low = torch.where(said, low, -1)
        at = said.nonzero().squeeze(1) if tight else at
        while len(at := at[low[at] + 1 < len(radii)]):
            holds = self.certified_tight(x[at], y[at], radii[low[at] + 1].unsqueeze(0))[0]
            at = at[holds]
            low[at] += 1
        return low

    def _proven(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        radius = self.subject.furthest(x, radius)
        searched, screened = self._slack(x, y, radius)
        return rub.below(self.exact, x, y, radius, -searched, -screened)

    def _slack(self, x: Tensor, y: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a searched and a screened bound must be below 0 by."""
        searched, screened = self.slack(x, y, radius)
        more = self.subject.margin(x, y, radius)
        return searched + more, screened + more

    def _open_classes(self, x: Tensor, y: Tensor, radius: Tensor, holds: Tensor) -> Tensor:
        """Return the classes [P, B, K-1] that RUB leaves open where no vertex is an error.

        Args:
            holds: examples that are settled, [P, B].
        """
        corner = attacks.get("vertex-l1").perturb(self.net, x, y, radius, UNBOUNDED, None)
        lost = (class_differences(self.net(corner), y) >= 0).any(dim=2)
        open_ = torch.zeros(*holds.shape, self.net.num_classes - 1, dtype=torch.bool)
        open_ = open_.to(x.device)
        some = (~holds & ~lost).any(dim=0).nonzero().squeeze(1)
        if len(some):
            wide = x[..., some, :].double()
            at = wide, y[some], self.subject.furthest(wide, radius[:, some].double())
            open_[:, some] = ~proves(rub.search(self.exact, *at)[0], -self._slack(*at)[0])
        return open_ & (~holds & ~lost).unsqueeze(2)
