"""Interval bounds of any graph of layers, in L1, L2 and Linf balls.

Every layer maps a box that holds its inputs to one that holds its outputs (Gowal et al. 2018,
"On the effectiveness of interval bound propagation"). Values that are affine in the input,
a'x + b, have an exact range over the ball instead, -+ rho ||a||_q around their value at x; in a
Linf ball behind one layer that is the same box. The last layer is merged with the difference of
classes: c_k'W h + c_k'b.

Legend: P networks in the pack, B batch, U linear forms per example, D input features, K classes,
H units before the last layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.first_order import difference_cotangents
from robust.bounds.rub.output_layer import output_layer
from robust.layers import walk
from robust.layers.base import Box, Own, paired
from robust.layers.graph import Graph, Layered, owned

# Coefficients of linear forms held at once.
BLOCK_ELEMENTS = {"cpu": 2**21, "cuda": 2**26}


def block_elements(device: torch.device) -> int:
    """Return how many coefficients of linear forms are held at once on a device."""
    return BLOCK_ELEMENTS.get(device.type, BLOCK_ELEMENTS["cpu"])


def worst_case_differences(net: Layered, x: Tensor, y: Tensor, ball: Ball) -> Tensor:
    """Return the interval bound of max z_k - z_y over the ball, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: around the inputs, in any norm.

    Returns:
        Certified bounds of the class differences, k != y in increasing order, [P, B, K-1];
        differentiable in the parameters.
    """
    graph = net.graph
    boxes = boxes_of(net, x, ball)
    return last_differences(net, x, y, ball, boxes[graph.nodes[-1].inputs[0]])


def last_differences(net: Layered, x: Tensor, y: Tensor, ball: Ball, box: Box) -> Tensor:
    """Return the bounds of the class differences from a box of what the last layer reads.

    Args:
        net, x, y, ball: as for `worst_case_differences`.
        box: [P, B, H].
    """
    before, own = net.graph.nodes[-1].inputs[0], owned(net)
    if before in net.graph.affine_values:
        forms = difference_cotangents(y, net.graph.shapes[-1][0], x).unsqueeze(0)
        forms = forms.expand(net.num_networks, -1, -1, -1)
        back, constant = _affine_forms(net.graph, own, len(net.graph.nodes), forms)
        return highest(back, constant, x, ball)
    last = output_layer(net, y)
    centre, spread = box.low / 2 + box.high / 2, box.high / 2 - box.low / 2
    middle = torch.matmul(last.weight, centre.unsqueeze(3)).squeeze(3) + last.bias
    return middle + torch.matmul(last.weight.abs(), spread.unsqueeze(3)).squeeze(3)


def boxes_of(net: Layered, x: Tensor, ball: Ball) -> list[Box]:
    """Return a box of every value but the logits, [P, B, *shape]; arguments as above."""
    own = owned(net)
    each = ball.half_widths()
    points = x.expand(net.num_networks, *x.shape[-2:])
    boxes = [Box(points - each, points + each)]
    exact = exact_boxes(net, own, x, ball) if ball.norm != "linf" else {}
    for number, node in enumerate(net.graph.nodes[:-1]):
        found = exact.get(number + 1)
        if found is None:
            found = node.layer.interval(own[number], *(boxes[at] for at in node.inputs))
        boxes.append(found)
    return boxes


def exact_boxes(net: Layered, own: Sequence[Own | None], x: Tensor, ball: Ball) -> dict[int, Box]:
    """Return the exact ranges of the values that are affine in the input and are read by others.

    Args:
        net: P networks.
        own: every node's parameters.
        x, ball: as for `worst_case_differences`.

    Returns:
        By value, [P, B, *shape].
    """
    graph = net.graph
    inside = graph.affine_values
    wanted = {
        at
        for number, node in enumerate(graph.nodes[:-1])
        if number + 1 not in inside
        for at in node.inputs
        if at in inside and at > 0
    }
    if not wanted:
        return {}
    values = walk.values_at(net, x)
    return {at: _exact_box(net, own, values[at], ball, at) for at in sorted(wanted)}


def _exact_box(
    net: Layered,
    own: Sequence[Own | None],
    centre: Tensor,
    ball: Ball,
    value: int,
) -> Box:
    """Return z -+ rho ||a||_q of one value's units z = a'x + b, in blocks of units."""
    graph, count = net.graph, math.prod(net.graph.shapes[value])
    size = max(1, block_elements(centre.device) // (net.num_networks * graph.widest))
    spreads = []
    for i in range(0, count, size):
        units = slice(i, i + size)
        forms = walk.unit_forms(graph, value, units, centre, net.num_networks)
        spreads.append(ball.reach_of_inputs(_affine_forms(graph, own, value, forms)[0]))
    spread = torch.cat(spreads, dim=2).view_as(centre)
    return Box(centre - spread, centre + spread)


def _affine_forms(
    graph: Graph, own: Sequence[Own | None], value: int, forms: Tensor
) -> tuple[Tensor, Tensor | float]:
    """Carry forms of a value that is affine in the input back to it: no lines are needed."""
    return walk.carried_back(graph, own, [None] * len(graph.nodes), value, forms)


def highest(forms: Tensor, constant: Tensor | float, x: Tensor, ball: Ball) -> Tensor:
    """Return a'x + c + rho ||a||_q, the largest value of linear forms on the ball.

    Args:
        forms: a, [P, B, U, D]; a B of 1 where all examples share them.
        constant: c, [P, B, U].
        x: [B, D] or [P, B, D].
        ball: around the inputs.

    Returns:
        [P, B, U].
    """
    points = x.expand(len(forms), *x.shape[-2:])
    return paired(forms, points) + constant + ball.reach_of_inputs(forms)
