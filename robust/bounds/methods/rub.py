"""RUB: Theorem 11 with the paper's t (MLPs), and docs/rub-bound.md (convolutional networks)."""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds import rub
from robust.bounds.methods.base import Bounds, ForNetworks, Method, register, type_name
from robust.bounds.rounding import RoundingSlack
from robust.networks import CNN, MLP, GraphNetwork
from robust.networks.linearization import Network
from robust.norms import Norm

compute = ForNetworks("rub")


@compute.register(CNN, GraphNetwork)
def _plain(
    net: Network, x: Tensor, y: Tensor, radius: Tensor, norm: Norm, costs: Tensor | None
) -> Bounds:
    assert costs is None, "why_not refuses costs on convolutions"
    upper = rub.worst_case_differences(net, x, y, radius)
    return Bounds(upper, RoundingSlack(net)(x, y, radius)[0])


@compute.register(MLP)
def _weighted(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, norm: Norm, costs: Tensor | None
) -> Bounds:
    if costs is None:
        return _plain(net, x, y, radius, norm, costs)
    upper = rub.worst_case_differences(net, x, y, radius, costs=costs)
    # The widest plain ball that the weighted one lies in, up to one more rounding.
    reach = radius / costs.min() * (1 + 4 * torch.finfo(x.dtype).eps)
    return Bounds(upper, RoundingSlack(net)(x, y, reach)[0])


class RUB(Method):
    """Costs are for multi-layer perceptrons: a convolution's search has one step for all."""

    def why_not(self, net: object, norm: str, with_costs: bool = False) -> str | None:
        """Return why the method is not made for something, as the end of a sentence, or None."""
        kind = net if isinstance(net, type) else type(net)
        if with_costs and not issubclass(kind, MLP):
            return f"takes no costs for a network of type {type_name(net)}"
        return super().why_not(net, norm, with_costs)


register(RUB("rub", "RUB", ("l1",), compute, effort=3, with_costs=True))
