"""Whether all of RUB's bounds of an example are below a limit, by a search of what is not refuted.

aRUB-L1, which RUB is never below, costs one backward pass and refutes most examples that will not
hold; all vertices of the others are searched.

Legend: P networks in the pack, B batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robust.bounds.first_order import approximate_worst_case_differences
from robust.bounds.rounding import proves
from robust.networks.linearization import Network

# Backward passes made at once to refute certificates.
_LOWER_ROWS = 640

Search = Callable[..., tuple[Tensor, Tensor]]


def by_search(search: Search) -> Callable[..., Tensor]:
    """Return a decision for networks whose bounds and worst vertices a search finds.

    Args:
        search: (net, x, y, radius) -> the bounds, [P, B, K-1], and the vertices.

    Returns:
        A function as `decision.below`; there is no upper bound to screen with here.
    """

    @torch.no_grad()
    def below(
        net: Network, x: Tensor, y: Tensor, radius: Tensor, limit: Tensor, screening_limit: Tensor
    ) -> Tensor:
        holds = proves(lower_bounds(net, x, y, radius), limit).all(dim=2)
        some = holds.any(dim=0).nonzero().squeeze(1)
        if len(some):
            values = search(net, x[..., some, :], y[some], radius[:, some])[0]
            holds[:, some] &= proves(values, limit[:, some]).all(dim=2)
        return holds

    return below


@torch.no_grad()
def lower_bounds(net: Network, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Return aRUB-L1, which RUB is never below, [P, B, K-1].

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius, [P, B].
    """
    size = max(1, _LOWER_ROWS // (net.num_networks * net.num_classes))
    parts = []
    for at in (slice(i, i + size) for i in range(0, len(y), size)):
        part = x[..., at, :], y[at], radius[:, at]
        parts.append(approximate_worst_case_differences(net, *part, "l1"))
    return torch.cat(parts, dim=1)
