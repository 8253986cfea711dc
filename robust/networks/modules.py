"""Layers of torch.nn with the parameters of one network of a pack.

torch.nn keeps W as (out, in) and (out, in, k, k), packs as (in, out) and (k, k, in, out).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return the layer x W + b, with copies of W, (in, out), and b, (out,)."""
    rows, columns = weight.shape
    layer = nn.Linear(rows, columns, dtype=weight.dtype, device=weight.device)
    _fill(layer, weight.mT, bias)
    return layer


def convolution(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Return the convolution with same padding, with copies of W, (k, k, in, out), and b."""
    side, _, source, target = weight.shape
    layer = nn.Conv2d(
        source, target, side, padding=side // 2, dtype=weight.dtype, device=weight.device
    )
    _fill(layer, weight.permute(3, 2, 0, 1), bias)
    return layer


@torch.no_grad()
def _fill(layer: nn.Linear | nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    assert layer.bias is not None
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)


def check_index(index: int, num_networks: int) -> None:
    """Refuse the index of a network that a pack does not have.

    Raises:
        ValueError: it is not in 0..P-1.
    """
    if not 0 <= index < num_networks:
        raise ValueError(f"index must be in 0..{num_networks - 1}, got {index}")
