"""Proofs by walks over a graph: bounds with the margin that rounding needs.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

from torch import Tensor

from robust.bounds import crown_walk, interval_walk
from robust.bounds.ball import Ball
from robust.bounds.walk_rounding import WalkSlack
from robust.layers.graph import Layered


def interval(net: Layered, x: Tensor, y: Tensor, ball: Ball) -> tuple[Tensor, Tensor]:
    """Return interval bounds of max z_k - z_y over the ball, and what rounding may have taken.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: around the inputs, in any norm.

    Returns:
        Two tensors [P, B, K-1], classes k != y in increasing order; the first differentiable in
        the parameters.
    """
    upper = interval_walk.worst_case_differences(net, x, y, ball)
    return upper, WalkSlack(net, x, ball).of_differences(y)


def crown(net: Layered, x: Tensor, y: Tensor, ball: Ball) -> tuple[Tensor, Tensor]:
    """Return CROWN's bounds, laid over boxes with room for their rounding; as `interval`."""
    slack = WalkSlack(net, x, ball)
    upper = crown_walk.worst_case_differences(net, x, y, ball, slack=slack)
    return upper, slack.of_differences(y)
