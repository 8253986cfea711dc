"""RUB: the certified bound of Theorem 11, for every network that has one.

Legend: P networks in the pack, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robust.bounds import rub_cnn, rub_mlp, screening, vertex_search
from robust.networks import CNN, MLP
from robust.networks.linearization import Network

# Network class -> (bounds with gradient, search for the worst vertices without gradient).
_BOUNDS: dict[type, tuple[Callable[..., Tensor], Callable[..., tuple[Tensor, Tensor]]]] = {
    MLP: (rub_mlp.worst_case_differences, vertex_search.worst_vertices),
    CNN: (rub_cnn.worst_case_differences, rub_cnn.worst_vertices),
}

# Network class -> cheap interval around the bounds; a class without one is searched in full.
_INTERVALS: dict[type, Callable[..., tuple[Tensor, Tensor]]] = {
    MLP: screening.bound_interval,
    CNN: rub_cnn.bound_interval,
}


def _bound_of(net: Network) -> tuple[Callable[..., Any], Callable[..., Any]]:
    for kind, functions in _BOUNDS.items():
        if isinstance(net, kind):
            return functions
    known = ", ".join(kind.__name__ for kind in _BOUNDS)
    raise ValueError(f"no RUB bound for a network of type {type(net).__name__}; known: {known}")


def worst_case_differences(
    net: Network, x: Tensor, y: Tensor, radius: Tensor, rough: bool = False
) -> Tensor:
    """Return certified upper bounds of max z_k - z_y over the L1 ball, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        radius: true L1 radius >= 0, [P, 1] or [P, B].
        rough: let the search for vertices shorten its products where the device is faster so:
            for training alone, as among near ties another vertex may win.

    Returns:
        [P, B, K-1], classes k != y in increasing order.

    Raises:
        ValueError: the network has no such bound.
    """
    differences: Tensor = _bound_of(net)[0](net, x, y, radius, rough)
    return differences


def search(net: Network, x: Tensor, y: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return the same bounds without gradient, and the vertices at which they are attained."""
    values, vertices = _bound_of(net)[1](net, x, y, radius)
    return values, vertices


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
        radius: true L1 radius >= 0, [P, 1] or [P, B].
        limit: for bounds that are searched, a number or [P, B, K-1].
        screening_limit: for bounds of the bounds, which settle most examples without a search.

    Returns:
        [P, B], boolean.

    Raises:
        ValueError: the network has no such bound.
    """
    interval = _INTERVALS.get(type(net))
    if interval is None:
        return (search(net, x, y, radius)[0] < limit).all(dim=2)
    lower, upper = interval(net, x, y, radius)
    settled = (upper < screening_limit).all(dim=2)
    open_ = (~settled & (lower < limit).all(dim=2)).any(dim=0).nonzero().squeeze(1)
    if len(open_):
        here = radius.expand(settled.shape)[:, open_]
        values = search(net, x[..., open_, :], y[open_], here)[0]
        narrowed = limit[:, open_] if isinstance(limit, Tensor) else limit
        settled[:, open_] |= (values < narrowed).all(dim=2)
    return settled
