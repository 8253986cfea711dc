"""Max-pooling for packs of `CNN`: windows of 2 x 2, all networks' maps side by side.

Legend: P networks in the pack, B batch, C cotangents per example, M maps (channels of one
network), R x S rows and columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

POOL = 2  # side and stride of every max-pooling window


@dataclass(frozen=True)
class Pooling:
    """Which unit decides each window of a stage's max-pooling after ReLU.

    Attributes:
        winner: flat index in R x S of the window's largest unit, [B, P*M, RS/4].
        active: 1 where that unit is above 0, else 0, [B, P*M, RS/4].
    """

    winner: Tensor
    active: Tensor


def max_pool(maps: Tensor) -> Tensor:
    """Return the largest member of every window, [B, P*M, R, S] -> [B, P*M, R/2, S/2]."""
    if torch.is_grad_enabled():
        return functional.max_pool2d(maps, POOL)
    # Without a gradient three maxima are ten times faster than torch's pooling on a CPU.
    rows = torch.maximum(maps[..., ::POOL, :], maps[..., 1::POOL, :])
    return torch.maximum(rows[..., ::POOL], rows[..., 1::POOL])


def unpool(maps: Tensor, pooling: Pooling, batch: int, like: Tensor) -> Tensor:
    """Send each window's value to the unit that decided it: transposed ReLU and max-pooling.

    Args:
        maps: [B*C, P*M, R/2, S/2].
        pooling: for B examples.
        batch: B.
        like: the stage's pre-activations, [B, P*M, R, S].

    Returns:
        [B*C, P*M, R, S].
    """
    values = maps.view(batch, -1, *pooling.active.shape[1:]) * pooling.active.unsqueeze(1)
    rows, (height, width) = values.shape[1], like.shape[2:]
    wide = values.new_zeros((*values.shape[:3], height * width))
    wide = wide.scatter(3, pooling.winner.unsqueeze(1).expand_as(values), values)
    return wide.view(batch * rows, -1, height, width)
