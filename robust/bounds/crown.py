"""CROWN (Zhang et al. 2018) in any norm, for packs of multi-layer perceptrons.

Linear bounds are carried back to the input, where rho ||nu||_q is the most that they can change.
With lower slopes by the adaptive rule it is auto_LiRPA's; with parallel ones, COAP's dual network.

Legend: P networks in the pack, B batch, U linear forms, H hidden units, K classes.
"""

from __future__ import annotations

from torch import Tensor

from robust.bounds.ball import Ball
from robust.bounds.parts import Part
from robust.bounds.substitution import Layer, bounds_of, through
from robust.networks.mlp import MLP


def finish(part: Part, first: Layer, forms: Tensor) -> Tensor:
    """Return bounds of forms of the first layer's activations by its lines, [p, b, U]."""
    at_input, at_x = through(first, forms)
    return at_x + part.ball.reach(at_input)


def worst_case_differences(
    net: MLP, x: Tensor, y: Tensor, ball: Ball, rule: str = "adaptive"
) -> tuple[Tensor, Tensor]:
    """Return CROWN's bounds of max z_k - z_y over the ball, and what rounding may have taken.

    Args:
        net: P networks.
        x: [B, D] or [P, B, D], in scaled input units.
        y: labels, [B].
        ball: around the inputs, in any norm.
        rule: for lower slopes, one of `lines.SLOPES`.

    Returns:
        Two tensors [P, B, K-1], classes k != y in increasing order; the first differentiable in
        the parameters.
    """
    return bounds_of(net, x, y, ball, finish, rule)
