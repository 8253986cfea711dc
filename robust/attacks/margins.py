"""How far networks are from erring.

Legend: P networks in the pack, N inputs, K classes.
"""

from __future__ import annotations

from torch import Tensor


def error_gap(logits: Tensor, y: Tensor) -> Tensor:
    """Return max_{k != y} z_k - z_y: above 0 where the network errs.

    Args:
        logits: [P, N, K].
        y: labels, [N] or [P, N].

    Returns:
        [P, N].
    """
    own = y.expand(logits.shape[:2]).unsqueeze(2)
    others = logits.scatter(2, own, -float("inf")).amax(dim=2)
    return others - logits.gather(2, own).squeeze(2)
