"""Walks over a graph, forward and back: what networks, bounds and costs share.

Legend: P networks in the pack, B batch, U linear forms per example, D input features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robust.layers.base import Layer, LinearLayer, Lines, Own
from robust.layers.graph import Graph, Layered, owned


def forward(net: Layered, x: Tensor) -> Tensor:
    """Return the logits, [P, B, K], at x, [B, D] or [P, B, D]."""
    graph, own = net.graph, owned(net)
    values: dict[int, Tensor] = {0: _for_all(net, x)}
    last_read = {at: number for number, node in enumerate(graph.nodes) for at in node.inputs}
    for number, node in enumerate(graph.nodes):
        values[number + 1] = node.layer.forward(own[number], *(values[at] for at in node.inputs))
        for at in set(node.inputs):
            if last_read[at] == number:
                del values[at]
    return values[len(graph.nodes)]


def values_at(net: Layered, x: Tensor) -> list[Tensor]:
    """Return every value at x, [B, D] or [P, B, D]; each [P, B, *shape], the logits last."""
    own, values = owned(net), [_for_all(net, x)]
    for number, node in enumerate(net.graph.nodes):
        inputs = (values[at] for at in node.inputs)
        values.append(node.layer.forward(own[number], *inputs))
    return values


def _for_all(net: Layered, x: Tensor) -> Tensor:
    return x.expand(net.num_networks, *x.shape[-2:])


def tangents(graph: Graph, values: Sequence[Tensor]) -> list[Lines | None]:
    """Return every node's linear expansion at values."""
    return [
        node.layer.tangent(*(values[at].detach() for at in node.inputs)) for node in graph.nodes
    ]


def carried_back(
    graph: Graph,
    own: Sequence[Own | None],
    lines: Sequence[Lines | None],
    value: int,
    forms: Tensor,
) -> tuple[Tensor, Tensor | float]:
    """Carry linear forms of a value back to the network's input, along lines.

    Each layer's line above stands where a coefficient is positive, the line below where it is
    negative; so the result bounds the forms from above. Along tangents it is their derivative.

    Args:
        graph: of the networks.
        own: every node's parameters.
        lines: every node's lines; None for linear layers.
        value: its number.
        forms: coefficients, [P, B, U, *shape]; a B of 1 where all examples share them.

    Returns:
        Coefficients at the input, [P, B, U, D], and what is added, [P, B, U].
    """
    pending = {value: forms}
    constant: Tensor | float = 0.0
    for number in reversed(range(value)):
        if number + 1 not in pending:
            continue
        node = graph.nodes[number]
        back, added = node.layer.back(
            own[number], lines[number], graph.inputs_of(number), pending.pop(number + 1)
        )
        constant = constant + added
        for at, part in zip(node.inputs, back, strict=True):
            pending[at] = pending[at] + part if at in pending else part
    return pending[0], constant


def linear_parts(net: Layered, steps: Tensor) -> dict[int, Tensor]:
    """Return what steps of the input add to the values that are affine in it.

    Args:
        net: P networks.
        steps: [N, D].

    Returns:
        By value, [P, N, *shape].
    """
    graph, own = net.graph, owned(net)
    parts = {0: _for_all(net, steps)}
    for number, node in enumerate(graph.nodes):
        if number + 1 in graph.affine_values:
            inputs = [parts[at] for at in node.inputs]
            parts[number + 1] = _linear_part(node.layer, own[number], inputs)
    return parts


def _linear_part(layer: Layer, own: Own | None, inputs: Sequence[Tensor]) -> Tensor:
    assert isinstance(layer, LinearLayer)
    return layer.product(None if own is None else own.weight, *inputs)


def unit_forms(graph: Graph, value: int, units: slice, like: Tensor, networks: int) -> Tensor:
    """Return the forms that are some of a value's units themselves, [P, 1, U, *shape]."""
    shape = graph.shapes[value]
    count = math.prod(shape)
    start, stop, _ = units.indices(count)
    forms = like.new_zeros(stop - start, count)
    rows = torch.arange(stop - start, device=like.device)
    forms[rows, rows + start] = 1
    return forms.view(1, 1, stop - start, *shape).expand(networks, -1, -1, *[-1] * len(shape))


def roundings(net: Layered) -> int:
    """Return how many roundings lie between the input and a logit at most, layer by layer."""
    own = owned(net)
    return sum(
        node.layer.roundings(parameters)
        for node, parameters in zip(net.graph.nodes, own, strict=True)
    )
