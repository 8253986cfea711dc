"""Convolution and max-pooling for packs: all networks' maps side by side in one grouped call.

On a CPU grouped convolution is as fast as a loop over the networks or faster, and several times
faster than products over unfolded patches.

Legend: P networks in the pack, B batch, C cotangents per example, M maps (channels of one
network), R x S rows and columns.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from robust.numerics.precision import products_are_shortened

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


def convolve(maps: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with same padding, every network with its own kernels.

    Args:
        maps: [B, in, R, S], shared by all networks, or [B, P*in, R, S].
        weight: [P, k, k, in, out].
        bias: [P, out].

    Returns:
        [B, P*out, R, S].
    """
    groups = maps.shape[1] // weight.shape[3]
    flat = None if bias is None else bias.flatten()
    with _like_other_products():
        return functional.conv2d(
            maps, _kernels(weight), flat, padding=weight.shape[1] // 2, groups=groups
        )


def convolve_transposed(maps: Tensor, weight: Tensor) -> Tensor:
    """Apply the transposed convolution: [B, P*out, R, S] -> [B, P*in, R, S]."""
    with _like_other_products():
        return functional.conv_transpose2d(
            maps, _kernels(weight), padding=weight.shape[1] // 2, groups=weight.shape[0]
        )


def _like_other_products() -> AbstractContextManager[None]:
    """Round factors where matrix products may: left to itself cuDNN does, to ten bits."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled, allow_tf32=products_are_shortened()
    )
    return flags


def _kernels(weight: Tensor) -> Tensor:
    """Return [P, k, k, in, out] as torch wants it, [P*out, in, k, k]."""
    return weight.permute(0, 4, 3, 1, 2).flatten(0, 1)


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
