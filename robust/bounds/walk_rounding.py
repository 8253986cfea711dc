"""How far rounding can move what a walk over a graph computes, in any of the balls.

As in `rounding`, the mass T of a value is what the network of absolute weights and biases makes of
|x| + rho, which no point of the L1, L2 or Linf ball exceeds in any feature; it is the sum of the
absolute products of all paths. Along a path of CROWN's substitution stand the same products, each
times slopes of at most 1, and in place of a bias the intercept of a line, which is at most the
mass of its unit: so each of the R layers that are not linear adds at most one more T. A sum of n
products is off by at most gamma_n times the sum of their absolute values, and here n is at most
    N = all units of all values + fan-in + fan-out of every layer with parameters + 2 D,
whatever the order. So 4 (1 + R) gamma_N T is room enough for an interval and for CROWN. Boxes are
widened by it before lines are laid over them: a line then holds on all that the unit can be, and
errors do not grow from layer to layer. Overflow is met as in `rounding`: the margin is infinite.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.rounding import HEADROOM, unit_roundoff
from robust.layers import walk
from robust.layers.base import Box
from robust.layers.graph import Layered, View
from robust.losses import other_classes

FACTOR = 4.0  # twice what the sum above gives, for the rounding of the mass itself


class WalkSlack:
    """Margins for one pack at some inputs."""

    @torch.no_grad()
    def __init__(self, net: Layered, x: Tensor, ball: Ball) -> None:
        """Pass |x| + rho through the network of absolute values.

        Args:
            net: P networks.
            x: [B, D] or [P, B, D].
            ball: around the inputs, in any norm.
        """
        vanishing = torch.finfo(x.dtype).tiny / unit_roundoff(net)  # N underflows a layer
        mass = View(
            net.graph,
            [weight.abs() for weight in net.weights],
            # With the inputs, so that all units are that much larger.
            [HEADROOM * (bias.abs() + vanishing) for bias in net.biases],
        )
        size = _relative(net)
        furthest = x.abs().expand(net.num_networks, *x.shape[-2:]) + ball.half_widths()
        masses = walk.values_at(mass, HEADROOM * furthest)  # overflows where any unit does
        self.slacks = [size * (each / HEADROOM) for each in masses]

    def widen(self, value: int, box: Box) -> Box:
        """Return a value's box, [P, B, *shape], with room for its rounding."""
        slack = self.slacks[value]
        return Box(box.low - slack, box.high + slack)

    def some(self, examples: slice) -> WalkSlack:
        """The same for some of the examples."""
        part = copy.copy(self)
        part.slacks = [slack[:, examples] for slack in self.slacks]
        return part

    def of_differences(self, y: Tensor) -> Tensor:
        """Return the margin of z_k - z_y for the classes k != y, [P, B, K-1]."""
        of_logits = self.slacks[-1]
        others = other_classes(y, of_logits.shape[2]).expand(len(of_logits), -1, -1)
        own = y.view(1, -1, 1).expand_as(others[..., :1])
        return of_logits.gather(2, others) + of_logits.gather(2, own)


def _relative(net: Layered) -> float:
    """Return 4 (1 + R) gamma_N of this file's head; infinite if N u >= 1."""
    graph = net.graph
    terms = 2 * graph.num_features + sum(math.prod(shape) for shape in graph.shapes)
    for weight in net.weights:
        inputs, outputs = weight.shape[-2:]
        terms += weight[0].numel() // outputs + weight[0].numel() // inputs + 16
    steps = sum(not node.layer.is_linear for node in graph.nodes)
    lost = (terms + len(graph.nodes)) * unit_roundoff(net)
    return FACTOR * (1 + steps) * lost / (1 - lost) if lost < 1 else float("inf")
