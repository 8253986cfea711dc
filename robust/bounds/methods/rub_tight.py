"""RUB with t optimised for every class difference; never above RUB with the paper's t."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds import rub, tight
from robust.bounds.methods.base import Bounds, ForNetworks, Method, register
from robust.bounds.rounding import RoundingSlack
from robust.networks import MLP
from robust.norms import Norm

compute = ForNetworks()


@compute.register(MLP)
@torch.no_grad()
def _bounds(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, norm: Norm, costs: Tensor | None
) -> Bounds:
    paper = rub.worst_case_differences(net, x, y, radius)
    best = tight.bounds_of(net, x, y, radius, torch.ones_like(paper, dtype=torch.bool))
    return Bounds(torch.minimum(paper, best), RoundingSlack(net)(x, y, radius)[0])


register(Method("rub-tight", "RUB, t optimised", ("l1",), compute, effort=9))
