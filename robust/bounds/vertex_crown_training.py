"""Vertex-CROWN for training: the bounds of `vertex_crown`, with the gradient where there is any.

The bounds of hidden units are most of the work: every unit of a layer is a form with a
coefficient at every unit before. But only units that are not linear in the ball have lines that
depend on their bounds. So all units are bounded without gradient, and those few again with it, at
the worst vertex alone. Value and gradient are those of `vertex_crown`, without the margins for
rounding, which in float32 would be large and have no place in a loss.

Legend: P networks in the pack (p in a chunk), B batch (b in a chunk), N units with gradient, D
input features, H hidden units, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from robust.bounds.ball import Ball
from robust.bounds.lines import Lines, lines
from robust.bounds.parts import Part, parts
from robust.bounds.substitution import (
    Layer,
    chosen,
    class_forms,
    first_lines,
    layer_of,
    relaxed,
    replaced,
    substitute,
    taken,
    unit_forms,
)
from robust.bounds.vertex_crown import finish, search, value_at
from robust.networks.linearization import Network
from robust.networks.mlp import MLP

# Whether the host counts the units that are not linear, by device. A GPU would have to wait for
# it: there no unit is left out.
COUNTED = {"cpu": True, "cuda": False}


def worst_case_differences(net: Network, x: Tensor, y: Tensor, ball: Ball) -> Tensor:
    """Return vertex-CROWN's bounds of max z_k - z_y over L1 balls, with gradient.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: L1 balls around the inputs.

    Returns:
        [P, B, K-1], classes k != y in increasing order; proven up to rounding.

    Raises:
        ValueError: not a multi-layer perceptron.
    """
    if not isinstance(net, MLP):
        raise ValueError(f"no vertex-CROWN for a network of type {type(net).__name__}; known: MLP")
    assert ball.norm == "l1", ball.norm
    upper = x.new_empty(*ball.radius.shape, net.num_classes - 1)
    counted = COUNTED.get(x.device.type, False)
    several = 0
    for at, part in parts(net, x, y, ball, 2 * net.num_features, False, counted):
        known = _known(part)
        several += part.ball.radius.numel() < ball.radius.numel()
        if several and torch.is_grad_enabled():  # keep no part's coefficients for the gradient
            upper[at] = checkpoint(_bounds, part, known, use_reentrant=False)
        else:
            upper[at] = _bounds(part, known)
    return upper


@dataclass(frozen=True)
class Known:
    """A hidden layer from the second on, without gradient.

    Attributes:
        lines: of its units, [p, b, H].
        units: the index of those that are not linear in the ball, [p, b, N]; None for all.
        worst: the vertices at which plus and minus each of these is bounded, [p, b, 2N].
    """

    lines: Lines
    units: Tensor | None
    worst: Tensor


@dataclass(frozen=True)
class _Searches:
    """A finish that keeps the worst vertex of every form it is asked for."""

    worst: list[Tensor] = field(default_factory=list)

    def __call__(self, part: Part, first: Layer, forms: Tensor) -> Tensor:
        """Return the bounds of forms at their worst vertices, [p, b, U]."""
        found, worst = search(part, first, forms)
        self.worst.append(worst)
        return found


@torch.no_grad()
def _known(part: Part) -> list[Known]:
    """Return the hidden layers from the second on, bounded without gradient."""
    searches = _Searches()
    layers = relaxed(part, searches).layers[1:]
    return [_bent(part, i, layers[i - 1], searches.worst) for i in range(1, len(part.hidden))]


def _bent(part: Part, depth: int, layer: Layer, worst: Sequence[Tensor]) -> Known:
    """Return a layer with the worst vertices of its units that are not linear alone.

    Args:
        part: some networks at some examples.
        depth: of the layer, from 1.
        layer: bounded, on two sides.
        worst: what was found for each side of each layer.
    """
    own, up_first = layer.lines, part.hidden[depth] < 0
    blank = torch.zeros_like(own.low, dtype=torch.int64)
    one, other = (
        replaced(blank, units, own.crosses, found)
        for units, found in zip(layer.sides, worst[2 * depth - 2 : 2 * depth], strict=True)
    )
    both = torch.where(up_first, one, other), torch.where(up_first, other, one)
    units = chosen(part, own.crosses)
    return Known(own, units, torch.cat([taken(each, units) for each in both], dim=2))


def _bounds(part: Part, known: Sequence[Known]) -> Tensor:
    layers = [layer_of(part, first_lines(part))]
    for one in known:
        layers.append(layer_of(part, _with_gradient(part, layers, one), layers))
    forms = class_forms(part, layers[-1])
    return substitute(part, layers, forms, finish) + part.last.bias


def _with_gradient(part: Part, before: Sequence[Layer], known: Known) -> Lines:
    """Return a layer's lines again, with gradient in the bounds of units that are not linear."""

    def at_worst(part: Part, first: Layer, forms: Tensor) -> Tensor:
        return value_at(part, first, forms, known.worst)

    depth, own = len(before), known.lines
    plus = unit_forms(part, depth, known.units, None, before[-1])
    forms = torch.cat([plus, -plus], dim=2)
    both = substitute(part, before, forms[..., :-1], at_worst) + forms[..., -1]
    up, down = both.chunk(2, dim=2)
    low = replaced(own.low, known.units, own.crosses, -down)
    high = replaced(own.high, known.units, own.crosses, up)
    return lines(low, high, part.hidden[depth])
