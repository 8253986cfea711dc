"""The nearest point of an L1 ball within bounds (Croce, Hein 2021, "Mind the Box", Prop. 2.1).

Legend: D input features; [...] is networks and inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor


def nearest_in_ball_and_bounds(
    delta: Tensor, x: Tensor, radius: Tensor, bounds: tuple[float, float]
) -> Tensor:
    """Return argmin_w ||w - delta||_2 over ||w||_1 <= rho and lo <= x + w <= hi.

    w_m = sign(delta_m) min(max(|delta_m| - t, 0), r_m), r_m the room between x_m and the bound
    that delta_m points to, and t >= 0 the least with ||w||_1 <= rho. ||w||_1 grows as t falls, in
    linear pieces: a feature joins at t = |delta_m| and is at its bound from |delta_m| - r_m on. So
    the 2D knots are sorted, and t lies in the piece in which the sum reaches rho.

    Args:
        delta: [..., D], finite.
        x: [..., D], within the bounds.
        radius: rho >= 0, [...].
        bounds: (lo, hi).

    Returns:
        w, [..., D], up to rounding.
    """
    size = delta.abs()
    room = torch.where(delta > 0, bounds[1] - x, x - bounds[0]).clamp_min(0)
    full = (size - room).clamp_min(0)
    knots, order = torch.cat([size, full], dim=-1).sort(dim=-1, descending=True)
    joins = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=-1)
    slopes = joins.gather(-1, order).cumsum(dim=-1)
    widths = knots - torch.cat([knots[..., 1:], torch.zeros_like(knots[..., :1])], dim=-1)
    sums = (slopes * widths).cumsum(dim=-1)  # ||w||_1 at the lower end of each piece
    limit = radius.unsqueeze(-1)
    piece = (sums < limit).sum(dim=-1, keepdim=True)
    inside = piece == knots.shape[-1]  # also without a threshold
    piece = piece.clamp_max(knots.shape[-1] - 1)
    slope = slopes.gather(-1, piece).clamp_min(1)
    threshold = (sums.gather(-1, piece) - limit) / slope
    threshold = knots.gather(-1, piece) - widths.gather(-1, piece) + threshold
    threshold = threshold.clamp_min(0).masked_fill(inside, 0)
    return delta.sign() * torch.minimum((size - threshold).clamp_min(0), room)


def moved_within(x: Tensor, delta: Tensor, radius: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return x + delta such that its distance to x, as the numbers stand, is at most rho.

    delta is shortened by what sums may be off, and x + delta is rounded towards x.

    Args:
        x: [..., D], within the bounds.
        delta: [..., D], of L1 norm about rho at most.
        radius: rho >= 0, [...].
        bounds: (lo, hi).

    Returns:
        [..., D], within the bounds.
    """
    wide = torch.finfo(torch.float64).eps
    off = 4 * torch.finfo(x.dtype).eps + 2 * x.shape[-1] * wide
    length = delta.double().abs().sum(dim=-1).clamp_min(wide**2)
    share = ((1 - off) * radius.double() / length).clamp_max(1).to(delta.dtype)
    own = share.unsqueeze(-1) * delta
    at = x + own
    outward = (at.double() - x.double()).abs() > own.double().abs()
    return torch.where(outward, torch.nextafter(at, x.expand_as(at)), at).clamp(*bounds)
