"""Whether all of RUB's bounds of an example are below a limit, for MLPs, with little search.

A certificate needs no maximum, only whether some vertex reaches the limit. The linearised network
bounds the bound from below, and the bound itself at the vertices that are worst there refutes most
examples that will not hold. For the others `mlp_screening` bounds it from above, and leaves open
only the vertices whose upper side reaches the limit: the bound at these settles the matter.

Legend: P networks in the pack, B batch, V = 2D vertices, D input features, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds.rounding import proves
from robust.bounds.rub.mlp_screening import linear_bounds, slacks
from robust.bounds.rub.mlp_search import bounds_at, unperturbed_pass, worst_vertices
from robust.networks.mlp import MLP

BLOCK_ELEMENTS = 2**21  # bounds held at once: networks x examples x vertices x classes
FIRST_LOOK = 8  # vertices looked at first, where there are several times as many
GROUP = 32  # examples whose open vertices are evaluated at once, as many for each
FULL_SEARCH_SHARE = 0.5  # share of open vertices from which a full search is faster


@torch.no_grad()
def below(
    net: MLP, x: Tensor, y: Tensor, radius: Tensor, limit: Tensor, screening_limit: Tensor
) -> Tensor:
    """Return whether all bounds of an example are below a limit; NaN and infinity never are.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D].
        y: labels, [B].
        radius: true L1 radius >= 0, [P, B].
        limit: for bounds, [P, B, K-1].
        screening_limit: for upper bounds of the bounds, [P, B, K-1].

    Returns:
        [P, B], boolean.
    """
    size = max(1, BLOCK_ELEMENTS // (limit[:, 0].numel() * 2 * net.num_features))
    parts = []
    for at in (slice(i, i + size) for i in range(0, len(y), size)):
        limits = limit[:, at], screening_limit[:, at]
        parts.append(_Decision(net, x[..., at, :], y[at], radius[:, at], *limits).decide())
    return torch.cat(parts, dim=1)


class _Decision:
    """Some examples, what refutes them, and which of their vertices are still open.

    Attributes:
        refuted: examples of which some bound is known to reach the limit, [P, B].
        excess: by how much a bound of the bound reaches beyond the limit, [P, B, V].
        open: the number of vertices that may still refute an example, [P, B].
    """

    def __init__(
        self, net: MLP, x: Tensor, y: Tensor, radius: Tensor, limit: Tensor, screening: Tensor
    ) -> None:
        self.net, self.x, self.y, self.radius = net, x, y, radius
        self.limit, self.screening = limit, screening
        self.linear = linear_bounds(net, x, y, radius)
        self.refuted = _some_reach(self.linear, limit)
        self.excess = (self.linear - limit.unsqueeze(2)).amax(dim=3)
        self.open = torch.full_like(self.refuted, self.excess.shape[2], dtype=torch.int64)

    def decide(self) -> Tensor:
        """Return which examples are below the limit, [P, B]."""
        many = int(FULL_SEARCH_SHARE * self.excess.shape[2])
        if many > FIRST_LOOK:
            self._look(self._need().nonzero().squeeze(1), FIRST_LOOK)
        self._screen(self._need().nonzero().squeeze(1))
        need = self._need()
        order = need.argsort()
        order = order[(need[order] > 0) & (need[order] <= many)]
        for i in range(0, len(order), GROUP):
            self._look(order[i : i + GROUP], int(need[order[i : i + GROUP]].max()))
        self._search((need > many).nonzero().squeeze(1))
        return ~self.refuted

    def _screen(self, at: Tensor) -> None:
        """Leave open only the vertices of some examples whose upper side reaches the limit."""
        below, excess = self.screening[:, at].unsqueeze(2) - self.linear[:, at], self.excess[:, at]
        for part, slack in slacks(self.net, self.x[..., at, :], self.y[at], self.radius[:, at]):
            excess[part] = (slack - below[part]).amax(dim=3)
        self.excess[:, at] = excess
        self.open[:, at] = (~(excess < 0)).sum(dim=2)

    def _need(self) -> Tensor:
        """Return how many vertices each example needs looked at, in whatever network, [B]."""
        return torch.where(self.refuted, 0, self.open).amax(dim=0)

    def _look(self, at: Tensor, count: int) -> None:
        """Evaluate the bound at some examples' most suspicious vertices."""
        if not len(at):
            return
        vertices = self.excess[:, at].topk(count, dim=2, sorted=False).indices
        around = unperturbed_pass(self.net, self.x[..., at, :], self.y[at])
        values = bounds_at(self.net, around, self.radius[:, at], vertices)
        self.refuted[:, at] |= _some_reach(values, self.limit[:, at])
        self.open[:, at] *= self.open[:, at] > count  # else all of them have been looked at

    def _search(self, at: Tensor) -> None:
        """Evaluate the bound at all vertices of some examples."""
        if not len(at):
            return
        at_x, at_y, at_radius = self.x[..., at, :], self.y[at], self.radius[:, at]
        values = worst_vertices(self.net, at_x, at_y, at_radius)[0]
        self.refuted[:, at] |= _some_reach(values.unsqueeze(2), self.limit[:, at])


def _some_reach(values: Tensor, limit: Tensor) -> Tensor:
    """Return whether any of an example's values, [P, B, V, K-1], is not below the limit."""
    return ~proves(values, limit.unsqueeze(2)).flatten(2).all(dim=2)
