"""The vertex attack: every one of the 2D vertices x +- rho e_m of the L1 ball is tried.

A convex loss is largest at a vertex; RUB's own worst case is one. For each input the vertex with
the smallest margin is returned.

Legend: P networks in the pack, N inputs, V vertices, D input features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robust.attacks.base import Attack, register
from robust.networks.linearization import Network

CHUNK_ROWS = {"cpu": 2**12, "cuda": 2**18}


@dataclass(frozen=True)
class VertexAttack(Attack):
    """The vertex of the L1 ball with the largest z_k - z_y over k != y."""

    @torch.no_grad()
    def perturb(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
        generator: torch.Generator | None,
        random_start: bool = True,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Return the worst vertex of each input, clipped to the bounds, [P, N, D]."""
        start = x.expand(net.num_networks, *x.shape[-2:])
        y = y.expand(start.shape[:2])
        radius = radius.expand(start.shape[:2])
        rows = CHUNK_ROWS.get(x.device.type, 2**12)
        size = max(1, rows // (2 * net.num_features))
        parts = [
            _worst_vertex(net, start[:, at], y[:, at], radius[:, at], bounds)
            for at in (slice(i, i + size) for i in range(0, start.shape[1], size))
        ]
        return torch.cat(parts, dim=1) if parts else start.clone()


def _worst_vertex(
    net: Network, x: Tensor, y: Tensor, radius: Tensor, bounds: tuple[float, float]
) -> Tensor:
    networks, inputs, features = x.shape
    unit = torch.eye(features, dtype=x.dtype, device=x.device)
    directions = torch.cat([unit, -unit])  # [V, D]
    points = (x.unsqueeze(2) + radius[:, :, None, None] * directions).clamp(*bounds)
    logits = net(points.flatten(1, 2)).view(networks, inputs, 2 * features, -1)
    own = y[:, :, None, None].expand(-1, -1, 2 * features, 1)
    differences = logits - logits.gather(3, own)
    worst = differences.scatter(3, own, -float("inf")).amax(3).argmax(2)  # [P, N]
    index = worst[:, :, None, None].expand(-1, -1, 1, features)
    return points.gather(2, index).squeeze(2)


register(VertexAttack("vertex-l1", "l1"))
