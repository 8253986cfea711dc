"""What is given up of floating-point numbers for speed, and where.

Shorter formats for float32 products: training may use them, certificates must not. Denormal
numbers: training and attacks do without them, and certificates leave room for it
(`bounds.rounding`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# torch's name for products of 10-bit mantissas (TF32) on the devices that have them.
SHORTENED_PRECISION = {"cuda": "high"}


@contextmanager
def shortened_products(device: str, shorten: bool) -> Iterator[None]:
    """Let float32 products be shortened within, on a device where that is faster.

    Only for training. RUB looks for its vertices so and evaluates the vertices found exactly:
    among near ties another one may win. Certificates need the exact maximum and must not ask
    for it.

    Args:
        device: its type.
        shorten: whether to.
    """
    before = torch.get_float32_matmul_precision()
    if shorten and device in SHORTENED_PRECISION:
        torch.set_float32_matmul_precision(SHORTENED_PRECISION[device])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def products_are_shortened() -> bool:
    """Return whether torch may shorten float32 products now."""
    return torch.get_float32_matmul_precision() != "highest"


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Let a CPU take numbers below the smallest normal one, 1.2e-38 in float32, for 0 within.

    A CPU spends a hundred cycles or more on each. Networks that have learnt their training set
    are full of them: gradients of a saturated softmax, and Adam's averages of what has been 0 for
    a thousand steps. A GPU is not slowed down and keeps them.
    """
    before = _flushes_denormals()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def _flushes_denormals() -> bool:
    return sys.float_info.min / 2 == 0  # Python computes under the same switch
