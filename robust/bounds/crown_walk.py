"""CROWN of any graph of layers, in L1, L2 and Linf balls (Zhang et al. 2018).

A linear form of the class differences is carried back through the layers; at each layer that is
not linear a line that holds on the box of its inputs takes its place, from above where the
coefficient is positive, from below where it is negative (`robust.layers`). At the input,
a'(x + delta) + c <= a'x + c + rho ||a||_q. The boxes come from the same rule, layer by layer, and
are intersected with interval bounds; so is the result, which is never above the interval bound.
With the slope "parallel" and without the intersection this is COAP (Wong, Kolter 2018).

Legend: P networks in the pack, B batch, U linear forms per example, D input features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from robust.bounds.ball import Ball
from robust.bounds.first_order import difference_cotangents
from robust.bounds.interval_walk import (
    block_elements,
    exact_boxes,
    highest,
    last_differences,
)
from robust.bounds.walk_rounding import WalkSlack
from robust.layers import walk
from robust.layers.base import Box, Lines, Own
from robust.layers.graph import Layered, owned


def worst_case_differences(
    net: Layered,
    x: Tensor,
    y: Tensor,
    ball: Ball,
    slope: str = "adaptive",
    intersect: bool = True,
    slack: WalkSlack | None = None,
) -> Tensor:
    """Return CROWN's bound of max z_k - z_y over the ball, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: around the inputs, in any norm.
        slope: of the lines below, a name in `robust.layers.relu.SLOPES`.
        intersect: with interval bounds.
        slack: widens the boxes that lines are laid over by what rounding may have taken from them;
            None in training.

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters.
    """
    size = examples_at_once(net, x)
    parts = []
    for at in (slice(i, i + size) for i in range(0, len(y), size)):
        part = x[..., at, :], ball.some(at), slope, intersect
        problem = Problem(net, owned(net), *part, slack and slack.some(at))
        parts.append(differences(problem, y[at]))
    return torch.cat(parts, dim=1)


def examples_at_once(net: Layered, x: Tensor) -> int:
    """Return how many examples' forms of all units of one value stay within a block."""
    graph = net.graph
    read = {at for node in graph.nodes if not node.layer.is_linear for at in node.inputs}
    most = max((math.prod(graph.shapes[at]) for at in read - graph.affine_values), default=1)
    return max(1, block_elements(x.device) // (2 * most * net.num_networks * graph.widest))


@dataclass(frozen=True)
class Problem:
    """What all substitutions of some examples share.

    Attributes:
        net: P networks.
        own: every node's parameters.
        x: [B, D] or [P, B, D].
        ball: around them.
        slope: of the lines below.
        intersect: with interval bounds.
        slack: of the boxes that lines are laid over.
    """

    net: Layered
    own: Sequence[Own | None]
    x: Tensor
    ball: Ball
    slope: str = "adaptive"
    intersect: bool = True
    slack: WalkSlack | None = None

    def widen(self, value: int, box: Box) -> Box:
        """Return a value's box with room for its rounding."""
        return box if self.slack is None else self.slack.widen(value, box)


def differences(problem: Problem, y: Tensor) -> Tensor:
    """Return the bounds of the class differences, [P, B, K-1]."""
    net, graph = problem.net, problem.net.graph
    lines, boxes = relaxed(problem)
    cotangents = difference_cotangents(y, graph.shapes[-1][0], problem.x).unsqueeze(0)
    forms = cotangents.expand(net.num_networks, -1, -1, -1)
    found = upper_bounds(problem, lines, len(graph.nodes), forms)
    if not problem.intersect:
        return found
    before = boxes[graph.nodes[-1].inputs[0]]
    interval = last_differences(net, problem.x, y, problem.ball, before)
    return torch.minimum(found, interval)


def relaxed(problem: Problem) -> tuple[list[Lines | None], list[Box]]:
    """Return the lines of every node and the boxes of every value but the logits."""
    net, graph = problem.net, problem.net.graph
    points = problem.x.expand(net.num_networks, *problem.x.shape[-2:])
    each = problem.ball.half_widths()
    boxes = [problem.widen(0, Box(points - each, points + each))]
    exact = exact_boxes(net, problem.own, problem.x, problem.ball)
    refined: set[int] = set()
    lines: list[Lines | None] = []
    for number, node in enumerate(graph.nodes[:-1]):
        if not node.layer.is_linear:
            for at in set(node.inputs) - graph.affine_values - refined:
                boxes[at] = problem.widen(at, _refined(problem, lines, at, boxes[at]))
                refined.add(at)
        inputs = [boxes[at] for at in node.inputs]
        lines.append(node.layer.relaxed(problem.slope, *inputs))
        found = exact.get(number + 1)
        if found is None:
            found = node.layer.interval(problem.own[number], *inputs)
        boxes.append(problem.widen(number + 1, found))
    return [*lines, None], boxes


def _refined(problem: Problem, lines: Sequence[Lines | None], value: int, box: Box) -> Box:
    """Return the box of a value by substitution, of its units and of their negatives."""
    graph, count = problem.net.graph, math.prod(problem.net.graph.shapes[value])
    each = 2 * problem.ball.radius.numel() * graph.widest
    size = max(1, block_elements(problem.x.device) // each)
    ends = []
    for i in range(0, count, size):
        units = walk.unit_forms(
            graph, value, slice(i, i + size), problem.x, problem.net.num_networks
        )
        both = upper_bounds(problem, lines, value, torch.cat([units, -units], dim=2))
        ends.append(both.chunk(2, dim=2))
    high, low = (torch.cat(parts, dim=2).view(box.low.shape) for parts in zip(*ends, strict=True))
    low = -low
    if not problem.intersect:
        return Box(low, high)
    return Box(torch.maximum(low, box.low), torch.minimum(high, box.high))


def upper_bounds(
    problem: Problem, lines: Sequence[Lines | None], value: int, forms: Tensor
) -> Tensor:
    """Return upper bounds of linear forms of a value over the ball, [P, B, U].

    Args:
        problem: P networks at B examples.
        lines: of the nodes before the value.
        value: its number.
        forms: [P, B, U, *shape]; a B of 1 where all examples share them.
    """

    def bounds(forms: Tensor) -> Tensor:
        back, constant = walk.carried_back(problem.net.graph, problem.own, lines, value, forms)
        return highest(back, constant, problem.x, problem.ball)

    if not torch.is_grad_enabled():
        return bounds(forms)
    # Coefficients are the only large tensors: they are computed again for the gradient.
    found: Tensor = checkpoint(
        bounds, forms, use_reentrant=False, preserve_rng_state=False, determinism_check="none"
    )
    return found
