"""Rows of a table by number, with a gradient that is the same every time.

A row that is asked for several times collects several gradients. On a GPU the backward passes of
`index_select` and `embedding` may add them in whatever order they come, and floating-point sums
depend on the order; `index_put_` sorts them first. On a CPU all of them add in order, and copying
whole rows is several times faster than indexing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# Device types on which a row's gradients are added in order by torch's own backward pass.
IN_ORDER = {"cpu"}


def select_rows(table: Tensor, index: Tensor, dim: int) -> Tensor:
    """Return the entries of a dimension in the order of an index.

    Args:
        table: [...], floating point.
        index: int64, one-dimensional, [M]; entries may repeat.
        dim: the dimension that the index is of.

    Returns:
        [...] with M entries in the dimension, differentiable in the table.
    """
    if table.device.type in IN_ORDER:
        return table.index_select(dim, index)
    selected: Tensor = _Selected.apply(table, index, dim)  # type: ignore[no-untyped-call]
    return selected


class _Selected(Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, dim: int) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape, ctx.dim = table.shape, dim
        return table.index_select(dim, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (index,) = ctx.saved_tensors
        moved = gradient.movedim(ctx.dim, 0)
        size = ctx.shape[ctx.dim]
        collected = torch.zeros((size, *moved.shape[1:]), dtype=moved.dtype, device=moved.device)
        collected.index_put_((index,), moved, accumulate=True)
        return collected.movedim(0, ctx.dim), None, None
