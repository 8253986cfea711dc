"""The vertex attack: every one of the 2D vertices x +- rho e_m of the L1 ball is tried.

A convex loss is largest at a vertex; RUB's own worst case is one. For each input the vertex with
the smallest margin is returned; among ties, one at which the network errs if there is any.

Legend: P networks in the pack, N inputs, V = 2D vertices, D input features, H hidden units,
K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor

from robust.attacks.base import Attack, RandomStart, register
from robust.attacks.margins import error_gap, is_correct
from robust.networks.linearization import Network
from robust.networks.mlp import MLP

# Inputs x vertices whose logits are computed at once.
CHUNK_ROWS = {"cpu": 2**11, "cuda": 2**18}
# Roundoffs, times the largest logit, within which the faster form may decide otherwise than the
# network itself: there the network decides.
DOUBT = 2**13


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
        start: RandomStart | None,
    ) -> Tensor:
        """Return the worst vertex of each input, clipped to the bounds, [P, N, D]."""
        centre = x.expand(net.num_networks, *x.shape[-2:]).clamp(*bounds)
        labels = y.expand(centre.shape[:2])
        radius = radius.expand(centre.shape[:2]).unsqueeze(2)
        found = torch.empty_like(centre)
        rows = CHUNK_ROWS.get(x.device.type, CHUNK_ROWS["cpu"])
        size = max(1, rows // (2 * net.num_features * net.num_networks))
        for at in (slice(i, i + size) for i in range(0, centre.shape[1], size)):
            some, own = centre[:, at], labels[:, at]
            up = (some + radius[:, at]).clamp(*bounds) - some
            down = (some - radius[:, at]).clamp(*bounds) - some
            steps = torch.cat([up, down], dim=2)  # [P, N, V]
            worst, doubtful = _worst_vertices(net, some, own, steps)
            x_adv = _moved(some, steps, worst.unsqueeze(2)).squeeze(2).clamp(*bounds)
            doubtful &= is_correct(net(x_adv), own)
            for p in doubtful.any(dim=1).nonzero().flatten().tolist():
                at_p = p, doubtful[p].nonzero().flatten()
                x_adv[at_p] = _decided(net.subset([p]), some[at_p], own[at_p], steps[at_p], bounds)
            found[:, at] = x_adv
        return found


def _worst_vertices(net: Network, x: Tensor, y: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vertex with the largest gap, [P, N], and whether rounding may hide an error."""
    logits = vertex_logits(net, x, steps)
    vertices = logits.shape[2]
    gaps = error_gap(logits.flatten(1, 2), y.repeat_interleave(vertices, 1))
    gap, worst = gaps.view(logits.shape[:3]).max(dim=2)
    slack = DOUBT * torch.finfo(gap.dtype).eps * logits.abs().amax(dim=(2, 3))
    return worst, gap >= -slack


def _decided(
    net: Network, x: Tensor, y: Tensor, steps: Tensor, bounds: tuple[float, float]
) -> Tensor:
    """Return the worst vertices by what one network says at each, [N, D]; steps [N, V]."""
    every = torch.arange(steps.shape[1], device=x.device).expand(steps.shape)
    points = _moved(x, steps, every).clamp(*bounds)
    gaps = error_gap(net(points.flatten(0, 1)), y.repeat_interleave(steps.shape[1]))
    worst = gaps.view(steps.shape).argmax(dim=1)
    return points[torch.arange(len(x), device=x.device), worst]


def _moved(x: Tensor, steps: Tensor, vertices: Tensor) -> Tensor:
    """Return x moved to some of its vertices: [..., D], [..., V] and [..., W] -> [..., W, D]."""
    features = x.shape[-1]
    unit = torch.nn.functional.one_hot(vertices % features, features).to(x.dtype)
    return x.unsqueeze(-2) + steps.gather(-1, vertices).unsqueeze(-1) * unit


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
    every = torch.arange(steps.shape[2], device=x.device).expand(steps.shape)
    logits: Tensor = net(_moved(x, steps, every).flatten(1, 2))
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
