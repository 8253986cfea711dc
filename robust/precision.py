"""Shorter formats for float32 products, where training may use them and certificates must not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# torch's name for products of 10-bit mantissas (TF32) on the devices that have them.
ROUGH_PRECISION = {"cuda": "high"}


@contextmanager
def rough_products(device: str, rough: bool) -> Iterator[None]:
    """Let float32 products be shortened within, on a device where that is faster.

    Only for training. RUB looks for its vertices so and evaluates the vertices found exactly:
    among near ties another one may win. Certificates need the exact maximum and must not ask
    for it.

    Args:
        device: its type.
        rough: whether to.
    """
    before = torch.get_float32_matmul_precision()
    if rough and device in ROUGH_PRECISION:
        torch.set_float32_matmul_precision(ROUGH_PRECISION[device])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def products_are_rough() -> bool:
    """Return whether torch may shorten float32 products now."""
    return torch.get_float32_matmul_precision() != "highest"
