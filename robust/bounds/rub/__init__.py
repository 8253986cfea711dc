"""RUB: the certified bound for every network that has one.

For multi-layer perceptrons that of Theorem 11 (Eq. 35) at t = [sign(z(x))]^+; for everything else,
which the paper leaves open, that of docs/rub-bound.md. `walk` has it for any graph of layers; MLP
and CNN have searches of their own, which are faster and find the same.

Legend: P networks in the pack, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from robust.bounds.rub import cnn, decision, mlp, mlp_search, walk
from robust.bounds.rub.refutation import by_search
from robust.bounds.widened import Stepped
from robust.networks import CNN, MLP, GraphNetwork
from robust.networks.linearization import Network


@dataclass(frozen=True)
class _Bound:
    """One kind of network's: the bounds with gradient, the worst vertices without, a decision."""

    worst_case_differences: Callable[..., Tensor]
    worst_vertices: Callable[..., tuple[Tensor, Tensor]]
    below: Callable[..., Tensor]


_BOUNDS: dict[type, _Bound] = {
    MLP: _Bound(mlp.worst_case_differences, mlp_search.worst_vertices, decision.below),
    CNN: _Bound(cnn.worst_case_differences, cnn.worst_vertices, by_search(cnn.worst_vertices)),
    GraphNetwork: _Bound(
        walk.worst_case_differences, walk.worst_vertices, by_search(walk.worst_vertices)
    ),
}


def _bound_of(net: Network) -> _Bound:
    for kind, bound in _BOUNDS.items():
        if isinstance(net, kind):
            return bound
    known = ", ".join(kind.__name__ for kind in _BOUNDS)
    raise ValueError(f"no RUB bound for a network of type {type(net).__name__}; known: {known}")


def worst_case_differences(
    net: Network,
    x: Tensor,
    y: Tensor,
    radius: Tensor,
    for_training: bool = False,
    costs: Tensor | None = None,
) -> Tensor:
    """Return certified upper bounds of max z_k - z_y over the L1 ball, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true L1 radius >= 0, [P, B].
        for_training: let the search for vertices shorten its products where the device is faster
            so; not for certificates, as among near ties another vertex may win.
        costs: > 0, [D], of the ball sum_m c_m |delta_m| <= radius; infinite where a feature
            stays. None is 1 for all; others are for multi-layer perceptrons.

    Returns:
        [P, B, K-1], classes k != y in increasing order.

    Raises:
        ValueError: the network has no such bound.
    """
    if costs is not None:
        if not isinstance(net, MLP):
            kind = type(net).__name__
            raise ValueError(f"RUB takes no costs for a network of type {kind}; known: MLP")
        seen = cast(MLP, Stepped.around(net, costs))
        return mlp.worst_case_differences(seen, x, y, radius, for_training)
    return _bound_of(net).worst_case_differences(net, x, y, radius, for_training)


def search(net: Network, x: Tensor, y: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same bounds without gradient, and the vertices at which they are attained."""
    return _bound_of(net).worst_vertices(net, x, y, radius)


@torch.no_grad()
def below(
    net: Network,
    x: Tensor,
    y: Tensor,
    radius: Tensor,
    limit: Tensor | float = 0.0,
    screening_limit: Tensor | float = 0.0,
) -> Tensor:
    """Return whether all bounds of an example are below a limit, searching only where it is open.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius >= 0, [P, B].
        limit: for bounds that are searched, a number or [P, B, K-1].
        screening_limit: for upper bounds of the bounds, which spare most of the search.

    Returns:
        [P, B], boolean.

    Raises:
        ValueError: the network has no such bound.
    """
    bound = _bound_of(net)
    shape = (net.num_networks, len(y))
    limits = [
        torch.as_tensor(value, dtype=x.dtype, device=x.device).expand(*shape, net.num_classes - 1)
        for value in (limit, screening_limit)
    ]
    return bound.below(net, x, y, radius, *limits)
