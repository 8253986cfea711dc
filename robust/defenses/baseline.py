"""Baseline-Lp: the linearised loss at its worst perturbation (Eq. 7).

Minimises L(y, z(x)) + rho ||grad_x L(y, z(x))||_q with 1/p + 1/q = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robust.bounds.first_order import difference_cotangents
from robust.defenses.base import Defense, StepCost, register
from robust.losses import class_differences
from robust.networks.linearization import Network
from robust.networks.size import NetworkSize
from robust.norms import dual_norm
from robust.registry import CostKinds


@dataclass(frozen=True)
class Baseline(Defense):
    """L(y, z) + rho ||grad_x L(y, z)||_q."""

    label: ClassVar[str] = "Baseline"
    cost_kinds: ClassVar[CostKinds] = None

    def step_cost(self, size: NetworkSize) -> StepCost:
        """The network, and the loss's gradient pulled back, forward and backward."""
        products = 6 * size.products - size.first_layer
        return StepCost(products, 6 * size.units + 2.6 * size.num_features)

    def example_losses(
        self, net: Network, x: Tensor, y: Tensor, radius: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return the summand of Eq. 7 for each example, [P, B]."""
        assert self.norm is not None
        expansion = net.linearize(x)
        differences = class_differences(expansion.logits, y)
        with torch.enable_grad():
            at = differences if differences.requires_grad else differences.detach()
            at.requires_grad_()
            losses = self.loss_function(at)
            # Chain rule: grad_x L = sum_k dL/dd_k grad_x d_k; create_graph keeps dL/dd_k
            # differentiable in the parameters.
            (slope,) = torch.autograd.grad(losses.sum(), at, create_graph=True)
        cotangents = difference_cotangents(y, net.num_classes, differences)
        gradient = expansion.pullback(torch.einsum("pbk,bkc->pbc", slope, cotangents).unsqueeze(2))
        gradient = gradient.squeeze(2)
        if self.feature_costs is not None:
            gradient = gradient / self.feature_costs
        return losses + radius * dual_norm(gradient, self.norm)


register(Baseline(name="baseline-l1", norm="l1"))
register(Baseline(name="baseline-l2", norm="l2"))
register(Baseline(name="baseline-linf", norm="linf"))
