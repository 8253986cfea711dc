"""RUB: Theorem 11 with the paper's t (MLPs), and docs/rub-bound.md (convolutional networks)."""

from __future__ import annotations

from torch import Tensor

from robust.bounds import rub
from robust.bounds.methods.base import Bounds, ForNetworks, Method, register
from robust.bounds.rounding import RoundingSlack
from robust.networks import CNN, MLP, GraphNetwork
from robust.networks.linearization import Network
from robust.norms import Norm

compute = ForNetworks()


@compute.register(MLP, CNN, GraphNetwork)
def _bounds(
    net: Network, x: Tensor, y: Tensor, radius: Tensor, norm: Norm, costs: Tensor | None
) -> Bounds:
    upper = rub.worst_case_differences(net, x, y, radius)
    return Bounds(upper, RoundingSlack(net)(x, y, radius)[0])


register(Method("rub", "RUB", ("l1",), compute, effort=4))
