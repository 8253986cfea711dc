"""RUB: the provable robust upper bound over the L1 ball (Theorem 11, Eq. 27).

Minimises L(y, (max_m max(g_{L,k,m}(rho), g_{L,k,m}(-rho)))_k).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.bounds.rub import worst_case_differences
from robust.defenses.base import Defense, register
from robust.networks.linearization import Network


@dataclass(frozen=True)
class RUB(Defense):
    """The loss of the certified worst class differences."""

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return Eq. 27 for each example, [P, B]."""
        bounds = worst_case_differences(net, x, y, radius.unsqueeze(1), rough=True)
        return self.loss_function(bounds)


register(RUB(name="rub", norm="l1"))
