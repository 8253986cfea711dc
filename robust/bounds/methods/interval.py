"""Interval bounds: a box through every layer, exact where values are affine in the input."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from robust.bounds import interval_walk
from robust.bounds.methods.base import Bounds, ForNetworks, Method, register
from robust.bounds.walk_rounding import WalkSlack
from robust.networks import CNN, MLP, GraphNetwork
from robust.norms import Norm

compute = ForNetworks()


@compute.register(MLP, CNN, GraphNetwork)
def _of_a_graph(
    net: Any, x: Tensor, y: Tensor, radius: Tensor, norm: Norm, costs: Tensor | None
) -> Bounds:
    upper = interval_walk.worst_case_differences(net, x, y, radius, norm)
    return Bounds(upper, WalkSlack(net, x, radius).of_differences(y))


register(Method("interval", "Interval", ("l1", "l2", "linf"), compute, effort=1))
