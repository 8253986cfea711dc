"""Which examples no attack within a ball can break: they need not be attacked.

Interval bounds of all units, and one substitution of the class differences through lines over
them (CROWN-IBP, Zhang et al. 2020), in float64. An example is settled where they are below 0 by
more than rounding explains, theirs and that of the network as it runs, in a ball that is larger
by what an attack rounds (`robust.evaluation.subject`). Every gradient is finite there too. An
attack then keeps the class whatever it does, as `survivors` counts it; what is settled at a radius
is settled at every smaller one, so that a bisection finds the largest.

Legend: P networks in the pack, N examples, B of them, R radii, D input features, K classes.
"""

from __future__ import annotations

import math
from typing import Any, Final

import torch
from torch import Tensor

from robust.attacks.base import Attack
from robust.attacks.gradient import GradientAttack
from robust.attacks.vertex import VertexAttack
from robust.bounds import methods
from robust.bounds.ball import Ball
from robust.bounds.first_order import difference_cotangents
from robust.bounds.forward_rounding import ForwardRounding, furthest
from robust.bounds.interval_walk import block_elements, boxes_of, highest, last_differences
from robust.bounds.rounding import proves
from robust.bounds.walk_rounding import WalkSlack
from robust.layers import walk
from robust.layers.base import Box
from robust.layers.graph import owned
from robust.norms import Norm

# Attacks that stay in their ball but for rounding, and draw no number that depends on what else
# is attacked with an example.
STAYING: Final = (GradientAttack, VertexAttack)
METHOD: Final = "crown"  # is made for the same networks
# Products of all absolute weights, above which a gradient may be infinite: far below 2^127.
LARGEST_GAIN: Final = 60.0


def skips(attack: Attack) -> bool:
    """Return whether what is settled need not be attacked, and the others are attacked alike."""
    return type(attack) in STAYING and not attack.joint


def pays(attack: Attack) -> bool:
    """Return whether an attack takes several times what the bounds take."""
    return skips(attack) and not (isinstance(attack, GradientAttack) and attack.gradients < 10)


@torch.no_grad()
def settled(net: Any, x: Tensor, y: Tensor, radii: Tensor, order: Norm, active: Tensor) -> Tensor:
    """Return which examples keep their class in the whole ball, as the networks run.

    Args:
        net: P networks.
        x: inputs, [N, D].
        y: labels, [N].
        radii: true radii >= 0, strictly increasing, [R].
        order: norm of the balls.
        active: which examples each network classifies correctly, [P, N], boolean.

    Returns:
        [P, R, N], boolean; false everywhere for networks whose layers have no such bounds.
    """
    found = active.new_zeros(len(active), len(radii), len(y))
    if methods.get(METHOD).why_not(net, order) is not None:
        return found
    for p in range(net.num_networks):
        own = net.subset([p])
        some = active[p].nonzero().squeeze(1)
        if not len(some) or _gain(own) > LARGEST_GAIN:
            continue
        bounds, size = _Bounds(own, order), _examples_at_once(own, x)
        levels = torch.arange(len(radii), device=x.device).unsqueeze(1)
        guess = len(radii) // 2
        for at in torch.split(some, size):
            low = bounds.largest(x[at].double(), y[at], radii.to(x.device), guess)
            found[p][:, at] = levels <= low
            guess = max(0, int(low.median()))
    return found


def _gain(net: Any) -> float:
    """Return log2 of what no entry of a gradient exceeds; infinite for a diverged network."""
    masses = [float(weight.double().abs().sum()) for weight in net.weights]
    return sum(math.log2(max(1.0, m)) if math.isfinite(m) else math.inf for m in masses)


def _examples_at_once(net: Any, x: Tensor) -> int:
    """Return for how many examples the forms of all classes stay within a block."""
    each: int = net.graph.widest * max(1, net.num_classes - 1)
    return max(1, block_elements(x.device) // (16 * each))


class _Bounds:
    """Bounds of one network in balls of one norm."""

    def __init__(self, net: Any, order: Norm) -> None:
        self.rounding, self.order = ForwardRounding(net), order
        self.dtype: torch.dtype = net.weights[0].dtype

    def largest(self, x: Tensor, y: Tensor, radii: Tensor, guess: int) -> Tensor:
        """Return the index of the largest radius at which each is settled, -1 for none, [B].

        The guess and its neighbour are tried first: most examples of a network are alike.
        """
        low, high = torch.full_like(y, -1), torch.full_like(y, len(radii))
        likely = [guess, guess + 1, guess - 1]
        while (at := (high - low > 1).nonzero().squeeze(1)).numel():
            middle = (low + high)[at] // 2
            if likely:
                first = torch.full_like(middle, likely.pop(0))
                middle = torch.where((low[at] < first) & (first < high[at]), first, middle)
            holds = self.holds(x[at], y[at], radii[middle].double().unsqueeze(0))
            low[at] = torch.where(holds, middle, low[at])
            high[at] = torch.where(holds, high[at], middle)
        return low

    def holds(self, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
        """Return which examples keep their class in the whole ball, [B]; `radius` is [1, B]."""
        net = self.rounding.net
        ball = Ball(furthest(x, radius, self.order, None, self.dtype), self.order)
        boxes = boxes_of(net, x, ball)
        errors = self.rounding.errors(x, boxes)
        slack = WalkSlack(net, x, ball).of_differences(y)
        slack = slack + self.rounding.of_differences(y, boxes, errors)
        wide = [Box(b.low - e, b.high + e) for b, e in zip(boxes, errors, strict=True)]
        upper = last_differences(net, x, y, ball, wide[net.graph.nodes[-1].inputs[0]])
        holds = proves(upper, -slack).all(dim=2)[0]
        left = (~holds).nonzero().squeeze(1)
        if len(left):
            some = [Box(low[:, left], high[:, left]) for low, high in wide]
            forms = self._substituted(
                x[left], y[left], Ball(ball.radius[:, left], ball.norm), some
            )
            upper = torch.minimum(upper[:, left], forms)
            holds[left] = proves(upper, -slack[:, left]).all(dim=2)[0]
        return holds

    def _substituted(self, x: Tensor, y: Tensor, ball: Ball, boxes: list[Box]) -> Tensor:
        """Return the bounds of the class differences by lines over the boxes, [1, B, K-1]."""
        net, graph = self.rounding.net, self.rounding.net.graph
        lines = [
            node.layer.relaxed("adaptive", *(boxes[at] for at in node.inputs))
            for node in graph.nodes
        ]
        forms = difference_cotangents(y, graph.shapes[-1][0], x).unsqueeze(0)
        back = walk.carried_back(graph, owned(net), lines, len(graph.nodes), forms)
        return highest(*back, x, ball)
