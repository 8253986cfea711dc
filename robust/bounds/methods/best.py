"""The best of several proofs: of each class difference the smallest bound.

Every bound holds, so their minimum does. `certify` asks the cheap ones first, and the others only
for what is still open (`robust.evaluation.proofs`).

Legend: P networks in the pack, B batch, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from robust.bounds.methods.base import (
    METHODS,
    Bounds,
    ForNetworks,
    Method,
    register,
    type_name,
)
from robust.networks.linearization import Network
from robust.norms import Norm

PARTS: Final = ("interval", "crown", "vertex-crown", "rub", "coap")


@dataclass(frozen=True)
class Best(Method):
    """The smallest bound of several methods.

    Attributes:
        parts: their names; those are taken that are made for a network, a norm and costs.
    """

    parts: tuple[str, ...] = field(default=PARTS, kw_only=True)

    def why_not(self, net: object, norm: str, with_costs: bool = False) -> str | None:
        """Return why none of the methods is made for something, or None."""
        if self.parts_for(net, norm, with_costs):
            return None
        reason = super().why_not(net, norm, with_costs)
        return reason or f"has no bound in norm {norm!r} for a network of type {type_name(net)}"

    def supports(self, net: object) -> bool:
        """Return whether any of the methods has a bound for a pack, or for a class of packs."""
        return any(METHODS.get(name).supports(net) for name in self.parts)

    def parts_for(self, net: object, norm: str, with_costs: bool = False) -> tuple[Method, ...]:
        """Return the methods that are proofs of what is asked, the cheapest first."""
        known = [METHODS.get(name) for name in self.parts]
        good = [one for one in known if one.why_not(net, norm, with_costs) is None]
        return tuple(sorted(good, key=lambda one: one.effort))

    def bounds(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        norm: Norm = "l1",
        costs: Tensor | None = None,
    ) -> Bounds:
        """Return the smallest bounds, with the largest slack of any that does not overflow."""
        parts = self.parts_for(net, norm, costs is not None)
        found = [one.bounds(net, x, y, radius, norm, costs) for one in parts]
        fine = [slack.isfinite() & ~upper.isnan() for upper, slack in found]
        infinite = torch.full_like(found[0].upper, float("inf"))
        upper, slack = infinite, torch.zeros_like(infinite)
        for bound, good in zip(found, fine, strict=True):
            upper = torch.minimum(upper, torch.where(good, bound.upper, infinite))
            slack = torch.maximum(slack, torch.where(good, bound.slack, 0.0))
        return Bounds(upper, slack.masked_fill(~torch.stack(fine).any(dim=0), float("inf")))


_EVERY_NORM: tuple[Norm, ...] = ("l1", "l2", "linf")
register(Best("best", "Best proof", _EVERY_NORM, ForNetworks(), effort=6, with_costs=True))
