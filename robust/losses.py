"""Losses as functions of class differences, per example.

Both satisfy the paper's Assumptions 3.1 (translation invariance, Eq. 3: only the differences
d_k = z_k - z_y matter) and 3.2 (monotone in every d_k, Eq. 4), so that by Lemma 1 (Eq. 6) the loss
of upper bounds of the differences is an upper bound of the adversarial loss.

Legend: P networks in the pack, B batch, K classes.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from robust.registry import Registry


class Loss(Protocol):
    """Loss of class differences [P, B, K-1] of the other classes -> [P, B]."""

    def __call__(self, differences: Tensor) -> Tensor: ...


def cross_entropy(differences: Tensor) -> Tensor:
    """Return log(1 + sum_{k != y} exp(d_k)), the softmax cross-entropy: log sum_k exp(z_k) - z_y.

    Eqs. 11 and 27 are this of aRUB's and RUB's bounds of the d_k; their sums count k = y too,
    which is the 1 here.

    Args:
        differences: d_k = z_k - z_y for the classes k != y, [P, B, K-1].

    Returns:
        [P, B], finite whenever the differences are.
    """
    correct = torch.zeros_like(differences[..., :1])  # d_y = 0
    return torch.logsumexp(torch.cat([differences, correct], dim=-1), dim=-1)


def hinge(differences: Tensor) -> Tensor:
    """Return max(0, 1 + max_{k != y} d_k), the multiclass hinge loss (Crammer, Singer 2001).

    Args:
        differences: d_k = z_k - z_y for the classes k != y, [P, B, K-1].

    Returns:
        [P, B].
    """
    return torch.relu(1 + differences.amax(dim=-1))


LOSSES: Registry[Loss] = Registry("loss")
LOSSES.add("cross-entropy", cross_entropy)
LOSSES.add("hinge", hinge)


def other_classes(y: Tensor, num_classes: int) -> Tensor:
    """Return the classes k != y of each example in increasing order.

    Args:
        y: labels, [B].
        num_classes: K.

    Returns:
        [B, K-1], int64.
    """
    k = torch.arange(num_classes - 1, device=y.device)
    return k + (k >= y.unsqueeze(1)).long()


def class_differences(logits: Tensor, y: Tensor) -> Tensor:
    """Return z_k - z_y for the classes k != y.

    Args:
        logits: [P, B, K].
        y: labels, [B].

    Returns:
        [P, B, K-1], classes in increasing order.
    """
    num_networks = logits.shape[0]
    others = other_classes(y, logits.shape[-1]).expand(num_networks, -1, -1)
    own = y.view(1, -1, 1).expand(num_networks, -1, -1)
    return logits.gather(2, others) - logits.gather(2, own)


def with_own_class(differences: Tensor, y: Tensor) -> Tensor:
    """Spread [P, B, K-1] differences to [P, B, K] with 0 at k = y."""
    num_networks, _, rest = differences.shape
    others = other_classes(y, rest + 1).expand(num_networks, -1, -1)
    full = differences.new_zeros((*differences.shape[:2], rest + 1))
    return full.scatter(2, others, differences)
