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

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from robust.bounds.ball import Ball
from robust.bounds.lines import Lines, lines
from robust.bounds.substitution import Part, parts, relaxed, substitute
from robust.bounds.vertex_crown import finish
from robust.networks.linearization import Network
from robust.networks.mlp import MLP

# Whether the host counts the units that are not linear, by device. A GPU would have to wait for
# it: there all units are bounded again.
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
    several = 0
    for at, part in parts(net, x, y, ball, 2 * net.num_features, outward=False):
        with torch.no_grad():
            known = relaxed(part, finish).lines
        several += part.ball.radius.numel() < ball.radius.numel()
        if several and torch.is_grad_enabled():  # keep no part's coefficients for the gradient
            upper[at] = checkpoint(_bounds, part, known, use_reentrant=False)
        else:
            upper[at] = _bounds(part, known)
    return upper


def _bounds(part: Part, known: Sequence[Lines]) -> Tensor:
    found = [_first(part)]
    for layer in range(1, len(part.weights)):
        found.append(_with_gradient(part, found, known[layer], layer))
    return substitute(part, found, part.last.weight, finish) + part.last.bias


def _first(part: Part) -> Lines:
    """Return the lines of the first layer, whose bounds are exact."""
    z, reach = part.hidden[0], part.ball.reach(part.steps.mT.unsqueeze(1))
    return lines(z - reach, z + reach, z)


def _with_gradient(part: Part, before: Sequence[Lines], known: Lines, layer: int) -> Lines:
    """Return a layer's lines again, with gradient in the bounds of units that are not linear."""
    crosses, z = known.crosses, part.hidden[layer]
    counted = COUNTED.get(z.device.type, False)
    count = int(crosses.sum(dim=2).max()) if counted else z.shape[2]
    if not count:
        return known
    units = crosses.to(torch.int8).argsort(dim=2, descending=True, stable=True)[..., :count]
    weight, bias = part.weights[layer], part.biases[layer]
    rows = torch.stack([w[index] for w, index in zip(weight.mT, units, strict=True)])
    shift = torch.stack([b[index] for b, index in zip(bias, units, strict=True)])
    high, low = substitute(part, before, torch.cat([rows, -rows], dim=2), finish).chunk(2, dim=2)
    return lines(
        known.low.scatter(2, units, shift - low), known.high.scatter(2, units, high + shift), z
    )
