"""Layers of torch.nn with the parameters of one network of a pack.

torch.nn keeps W as (out, in) and (out, in, k, l), packs as (in, out) and (k, l, in, out).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """x + f(x), which torch.nn has no module for: f is a Sequential."""

    def __init__(self, branch: nn.Sequential) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Return x + f(x)."""
        moved: Tensor = self.branch(x)
        return x + moved


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return the layer x W + b, with copies of W, (in, out), and b, (out,)."""
    rows, columns = weight.shape
    layer = nn.Linear(rows, columns, dtype=weight.dtype, device=weight.device)
    _fill(layer, weight.mT, bias)
    return layer


def convolution(
    weight: Tensor,
    bias: Tensor,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] | None = None,
) -> nn.Conv2d:
    """Return the convolution with copies of W, (k, l, in, out), and b; same padding by default."""
    rows, columns, source, target = weight.shape
    layer = nn.Conv2d(
        source,
        target,
        (rows, columns),
        stride=stride,
        padding=(rows // 2, columns // 2) if padding is None else padding,
        dtype=weight.dtype,
        device=weight.device,
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
