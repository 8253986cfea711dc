"""The vertex attack: every one of the 2D vertices x +- rho e_m of the L1 ball is tried.

A convex loss is largest at a vertex; RUB's own worst case is one. For each input the vertex with
the smallest margin is returned.

Legend: P networks in the pack, N inputs, V = 2D vertices, D input features, H hidden units,
K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import ClassVar

import torch
from torch import Tensor

from robust.attacks.base import Attack, RandomStart, register
from robust.attacks.margins import error_gap
from robust.networks.linearization import Network
from robust.networks.mlp import MLP
from robust.networks.size import NetworkSize

# Inputs x vertices whose logits are computed at once.
CHUNK_ROWS = {"cpu": 2**11, "cuda": 2**18}


@dataclass(frozen=True)
class VertexAttack(Attack):
    """The vertex of the L1 ball with the largest z_k - z_y over k != y."""

    label: ClassVar[str] = "Vertex"

    def products(self, size: NetworkSize) -> float:
        """All layers but the first at each of the 2D vertices."""
        return 2 * size.num_features * (size.products - size.first_layer)

    @torch.no_grad()
    def perturb(
        self,
        net: Network,
        x: Tensor,
        y: Tensor,
        radius: Tensor,
        bounds: tuple[float, float],
        start: RandomStart | None,
    ) -> Tensor:
        """Return the worst vertex of each input, clipped to the bounds, [P, N, D]."""
        centre = x.expand(net.num_networks, *x.shape[-2:]).clamp(*bounds)
        labels = y.expand(centre.shape[:2])
        radius = radius.expand(centre.shape[:2]).unsqueeze(2)
        up = (centre + radius).clamp(*bounds) - centre
        down = (centre - radius).clamp(*bounds) - centre
        steps = torch.cat([up, down], dim=2)  # [P, N, V]
        worst = torch.empty_like(labels)
        rows = CHUNK_ROWS.get(x.device.type, CHUNK_ROWS["cpu"])
        size = max(1, rows // (2 * net.num_features * net.num_networks))
        for at in (slice(i, i + size) for i in range(0, centre.shape[1], size)):
            logits = vertex_logits(net, centre[:, at], steps[:, at])
            gaps = error_gap(
                logits.flatten(1, 2), labels[:, at].repeat_interleave(logits.shape[2], 1)
            )
            worst[:, at] = gaps.view(logits.shape[:3]).argmax(dim=2)
        chosen = worst.unsqueeze(2)
        delta = torch.zeros_like(centre)
        delta.scatter_(2, chosen % net.num_features, steps.gather(2, chosen))
        return (centre + delta).clamp(*bounds)


@singledispatch
def vertex_logits(net: Network, x: Tensor, steps: Tensor) -> Tensor:
    """Return the logits at every vertex. A network class may register a faster form.

    Args:
        net: P networks.
        x: [P, N, D].
        steps: what each vertex adds to its feature (v mod D), [P, N, V].

    Returns:
        [P, N, V, K].
    """
    features = torch.arange(steps.shape[2], device=x.device) % x.shape[2]
    unit = torch.nn.functional.one_hot(features, x.shape[2]).to(x.dtype)  # [V, D]
    points = x.unsqueeze(2) + steps.unsqueeze(3) * unit
    logits: Tensor = net(points.flatten(1, 2))
    return logits.view(*steps.shape, -1)


@vertex_logits.register
def _mlp_vertex_logits(net: MLP, x: Tensor, steps: Tensor) -> Tensor:
    # A vertex moves the first pre-activations by a multiple of one row of W_1.
    first = torch.baddbmm(net.biases[0].unsqueeze(1), x, net.weights[0]).unsqueeze(2)
    rows = torch.cat([net.weights[0], net.weights[0]], dim=1).unsqueeze(1)  # [P, 1, V, H]
    h = torch.addcmul(first, steps.unsqueeze(3), rows).flatten(1, 2).relu_()
    logits = net.tail(h)
    return logits.view(*steps.shape, -1)


register(VertexAttack("vertex-l1", "l1"))
