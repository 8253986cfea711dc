"""When networks err, and how far they are from it.

Legend: P networks in the pack, N inputs, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def is_correct(logits: Tensor, y: Tensor) -> Tensor:
    """Return whether networks give the class y: what every accuracy counts.

    Among equal logits the first class is given (argmax). Logits that are not numbers give none.

    Args:
        logits: [P, N, K].
        y: labels, [N] or [P, N].

    Returns:
        [P, N], boolean.
    """
    largest, given = logits.max(dim=2)  # NaN where any is
    return (given == y) & ~largest.isnan()


def error_gap(logits: Tensor, y: Tensor) -> Tensor:
    """Return max_{k != y} z_k - z_y, above 0 exactly where `is_correct` says no.

    A tie that the other class wins is a gap just above 0; logits that are not numbers are an
    infinite one.

    Args:
        logits: [P, N, K].
        y: labels, [N] or [P, N].

    Returns:
        [P, N].
    """
    own = y.expand(logits.shape[:2]).unsqueeze(2)
    others = logits.scatter(2, own, -float("inf")).amax(dim=2)
    gap = others - logits.gather(2, own).squeeze(2)
    gap = gap.masked_fill(gap.isnan(), float("inf"))
    just_above = torch.finfo(gap.dtype).tiny
    return torch.where(is_correct(logits, y), gap.clamp_max(0), gap.clamp_min(just_above))
