"""RUB: the provable robust upper bound over the L1 ball (Theorem 11, Eq. 35, with Lemma 1).

Minimises L(y, (max_m max(g_{L,k,m}(t, rho), g_{L,k,m}(t, -rho)))_k) at t = [sign(z(x))]^+. Eq. 27
is the case of one hidden layer (Theorem 7) and cross-entropy. Convolutional networks have the
bound of docs/rub-bound.md, which the paper leaves open.
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
        """Return the loss of the bounds of each example, [P, B]."""
        bounds = worst_case_differences(net, x, y, radius.unsqueeze(1), rough=True)
        return self.loss_function(bounds)


register(RUB(name="rub", norm="l1"))
