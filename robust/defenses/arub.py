"""aRUB-Lp: the approximate robust upper bound (Eq. 10, and Eq. 11 for cross-entropy).

Minimises L(y, (c_k'z(x) + rho ||c_k' grad z(x)||_q)_k) with c_k = e_k - e_y, 1/p + 1/q = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.first_order import approximate_worst_case_differences
from robust.defenses.base import Defense, register
from robust.networks.linearization import Network


@dataclass(frozen=True)
class ARUB(Defense):
    """The loss of the linearised network's worst class differences."""

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the loss of Eq. 10 for each example, [P, B]."""
        assert self.norm is not None
        return self.loss_function(approximate_worst_case_differences(net, x, y, radius, self.norm))


register(ARUB(name="arub-l1", norm="l1"))
register(ARUB(name="arub-l2", norm="l2"))
register(ARUB(name="arub-linf", norm="linf"))
