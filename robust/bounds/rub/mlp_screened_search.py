"""The worst vertices of RUB for training, where screening discards most of them.

The bound at a few suspicious vertices is a threshold for each class. `mlp_screening` bounds the
bound at every vertex from above, for about a third of what it costs, and a vertex whose upper side
stays below the threshold of every class is not looked at. What is discarded is never the maximum,
up to rounding: among near ties another vertex may win, so certificates search all vertices.

Legend: P networks in the pack, B batch, V = 2D vertices, D input features, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds.rub.mlp_screening import Screen
from robust.bounds.rub.mlp_search import Search, Unperturbed
from robust.networks.mlp import MLP

MIN_FEATURES = {"cpu": 512}  # by device; fewer are searched faster than screened one by one
SCREENING_COST = 0.5  # of a search of all vertices
GROUP = 8  # examples screened at once
PATIENCE = 0.25  # searches that screening may lose on a network before it is left


def pays(net: MLP, device: str) -> bool:
    """Return whether screening can be faster than a search of all vertices.

    Args:
        net: P networks.
        device: its type. A GPU would have to wait for the number of open vertices.
    """
    return device in MIN_FEATURES and net.num_features >= MIN_FEATURES[device]


@torch.no_grad()
def worst_vertices(net: MLP, around: Unperturbed, radius: Tensor) -> Tensor:
    """Find the vertex at which the bound of each class difference is largest.

    Args:
        net: P networks.
        around: the pass at x.
        radius: true L1 radius, [P, B].

    Returns:
        [P, B, K-1], numbered as `mlp_search.worst_vertices_around` does.
    """
    search = _ScreenedSearch(net, around, radius)
    return torch.stack([search.network(p) for p in range(net.num_networks)])


class _ScreenedSearch:
    """One batch's bounds from below, and what gives them from above and exactly."""

    def __init__(self, net: MLP, around: Unperturbed, radius: Tensor) -> None:
        self.bias = around.last.bias.unsqueeze(2)
        self.screen = Screen(net, around, radius)
        self.search = Search(net, around, radius)

    def network(self, p: int) -> Tensor:
        """Return one network's worst vertices, [B, K-1], screening for as long as it pays."""
        found: list[Tensor] = []
        gain, batch = 0.0, self.bias.shape[1]
        while len(found) < batch and gain > -PATIENCE:
            size = GROUP if found else 1  # the first shows whether it pays
            group = slice(len(found), min(len(found) + size, batch))
            for b, may in enumerate(self._open(slice(p, p + 1), group), start=group.start):
                candidates = may.nonzero().view(1, 1, -1)
                bounds = self.search.bounds(slice(p, p + 1), slice(b, b + 1), candidates)
                found.append(candidates[0, 0, bounds[0, 0].argmax(dim=0)])
                gain += 1 - SCREENING_COST - candidates.numel() / len(may)
        for b in range(len(found), batch):
            bounds = self.search.bounds(slice(p, p + 1), slice(b, b + 1))
            found.append(bounds[0, 0].argmax(dim=0))
        return torch.stack(found)

    def _open(self, networks: slice, examples: slice) -> Tensor:
        """Return which vertices of a network's examples may be the worst, [b, V]."""
        at = networks, examples
        lower = self.screen.linear(*at)  # [1, b, V, K-1]
        upper = torch.cat([self.screen.slack(networks, one) for one in _each(examples)], dim=1)
        upper += lower
        suspects = torch.cat([lower.argmax(dim=2), upper.argmax(dim=2)], dim=2)
        known = self.search.bounds(*at, suspects).add_(self.bias[at]).amax(dim=2, keepdim=True)
        may = (~(upper < known)).any(dim=3)  # what is not finite stays open
        return may.scatter_(2, suspects, True).squeeze(0)


def _each(examples: slice) -> list[slice]:
    return [slice(b, b + 1) for b in range(examples.start, examples.stop)]
