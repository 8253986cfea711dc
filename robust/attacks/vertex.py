"""The vertex attack: every one of the 2D vertices x +- rho e_m of the L1 ball is tried.

A convex loss is largest at a vertex; RUB's own worst case is one. For each input the vertex with
the smallest margin is returned; among ties, one at which the network errs if there is any.
With costs c the vertices are x +- (rho / c_m) e_m; where c_m is infinite, x itself.

Legend: P networks in the pack, N inputs, V = 2D vertices, D input features, H hidden units,
K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any, ClassVar

import torch
from torch import Tensor

from robust.attacks.base import Attack, RandomStart, register
from robust.attacks.margins import error_gap, is_correct
from robust.networks.linearization import Network
from robust.networks.mlp import MLP
from robust.networks.size import NetworkSize
from robust.norms import rounded_inwards, step_costs
from robust.registry import CostKinds

# Inputs x vertices whose logits are computed at once.
CHUNK_ROWS = {"cpu": 2**11, "cuda": 2**18}
# So many roundoffs of the largest logit the faster form's gaps may be off: closer to a tie, the
# network itself decides.
DOUBT = 2**8


@dataclass(frozen=True)
class VertexAttack(Attack):
    """The vertex of the L1 ball with the largest z_k - z_y over k != y."""

    label: ClassVar[str] = "Vertex"
    cost_kinds: ClassVar[CostKinds] = None

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
        costs = None if self.costs is None else self.costs.to(x)
        ball = _Ball(centre, radius.unsqueeze(2), bounds, costs)
        found = torch.empty_like(centre)
        doubtful = torch.zeros_like(labels, dtype=torch.bool)
        rows = CHUNK_ROWS.get(x.device.type, CHUNK_ROWS["cpu"])
        size = max(1, rows // (2 * net.num_features * net.num_networks))
        for i in range(0, centre.shape[1], size):
            at = slice(None), slice(i, i + size)
            gaps, slack = _gaps(net, ball.centre[at], labels[at], ball.steps(at))
            gap, worst = gaps.max(dim=2)
            found[at] = ball.vertex(at, worst)
            doubtful[at] = gap >= -slack
        doubtful &= is_correct(net(found), labels)
        if bool(doubtful.any()):
            _settle(net, ball, labels, found, doubtful)
        return found


@dataclass(frozen=True)
class _Ball:
    """The L1 balls around some inputs, within the bounds.

    Attributes:
        centre: [P, N, D].
        radius: [P, N, 1].
        bounds: of the inputs.
        costs: > 0, [D]; None is 1 for all.
    """

    centre: Tensor
    radius: Tensor
    bounds: tuple[float, float]
    costs: Tensor | None

    def steps(self, at: Any) -> Tensor:
        """Return what each vertex adds to its feature (v mod D), for some inputs, [..., V]."""
        x, radius = self.centre[at], self.reach(at)
        up, down = (x + radius).clamp(*self.bounds), (x - radius).clamp(*self.bounds)
        return torch.cat([up - x, down - x], dim=-1)

    def reach(self, at: Any) -> Tensor:
        """Return how far the ball reaches along each feature, for some inputs, [..., 1 or D]."""
        radius = self.radius[at]
        return radius if self.costs is None else radius * step_costs(self.costs)[0]

    def vertex(self, at: Any, vertex: Tensor) -> Tensor:
        """Return one vertex of each of some inputs, by its index, [...] -> [..., D]."""
        moved = _moved(self.centre[at], self.steps(at), vertex.unsqueeze(-1))
        point = moved.squeeze(-2).clamp(*self.bounds)
        if self.costs is None:
            return point
        return rounded_inwards(point, self.centre[at], self.reach(at), self.costs)


def _gaps(net: Network, x: Tensor, y: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gap at each vertex, [P, N, V], and what rounding may change of it, [P, N]."""
    logits = vertex_logits(net, x, steps)
    gaps = error_gap(logits.flatten(1, 2), y.repeat_interleave(steps.shape[2], 1))
    slack = DOUBT * torch.finfo(logits.dtype).eps * logits.abs().amax(dim=(2, 3))
    return gaps.view(steps.shape), slack


def _settle(net: Network, ball: _Ball, y: Tensor, found: Tensor, doubtful: Tensor) -> None:
    """Try the other vertices near a tie, the worst first, until the network itself errs.

    It is asked about all points at once, as whoever uses them will ask: the rounding of a product
    depends on its shape.
    """
    networks, inputs = doubtful.nonzero(as_tuple=True)
    order, count = _near_ties(net, ball, y, doubtful)
    open_ = torch.ones_like(networks, dtype=torch.bool)
    for rank in range(1, int(count.max())):
        open_ &= rank < count
        if not bool(open_.any()):
            return
        at = networks[open_], inputs[open_]
        trial = found.clone()
        trial[at] = ball.vertex(at, order[open_, rank])
        keeps = is_correct(net(trial), y)[at]
        found[at] = torch.where(keeps.unsqueeze(1), found[at], trial[at])
        open_[open_.clone()] = keeps


def _near_ties(net: Network, ball: _Ball, y: Tensor, doubtful: Tensor) -> tuple[Tensor, Tensor]:
    """Return each doubtful input's vertices, the largest gap first, and how many are near a tie.

    Returns:
        [M, V] and [M], for the M inputs of all networks that are doubtful, network by network.
    """
    orders, counts = [], []
    for p in doubtful.any(dim=1).nonzero().flatten().tolist():
        at = slice(p, p + 1), doubtful[p].nonzero().flatten()
        gaps, slack = _gaps(net.subset([p]), ball.centre[at], y[at], ball.steps(at))
        ordered = gaps[0].sort(dim=1, descending=True, stable=True)
        orders.append(ordered.indices)
        counts.append((ordered.values >= -slack[0].unsqueeze(1)).sum(dim=1))
    return torch.cat(orders), torch.cat(counts)


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
