"""Which units a patch of pixels reaches, and convolution restricted to them.

Legend: P networks in the pack, R x S rows and columns of a patch; the 4 members of a pooling
window have a dimension of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from robust.networks.convolution import POOL


class Span(NamedTuple):
    """Rows or columns start, ..., stop - 1."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many."""
        return self.stop - self.start

    def shifted(self, by: int) -> Span:
        """The same rows counted from elsewhere."""
        return Span(self.start + by, self.stop + by)

    @property
    def at(self) -> slice:
        """As an index."""
        return slice(self.start, self.stop)


class Patch(NamedTuple):
    """Rows and columns of a map."""

    rows: Span
    columns: Span


def reach(block: Span, size: int, kernels: Sequence[int]) -> tuple[Span, ...]:
    """Return which rows (or columns) can change after 0, 1, ... stages when those of a block do.

    Args:
        block: changed rows of the input.
        size: all rows of the input.
        kernels: sides of the convolutions.

    Returns:
        One span for the input and one after each pooling, within the maps.
    """
    spans = [block]
    for kernel in kernels:
        half, last = kernel // 2, spans[-1]
        size_pooled = size // POOL
        start = max(last.start - half, 0) // POOL
        stop = min((last.stop - 1 + half) // POOL + 1, size_pooled)
        spans.append(Span(start, stop))
        size = size_pooled
    return tuple(spans)


def relative(source: Patch, target: Patch) -> tuple[Patch, Patch]:
    """Shift a convolution's patches so that the target starts at 0: most blocks look alike."""
    shifted = [
        (span.shifted(-POOL * goal.start), goal.shifted(-goal.start))
        for span, goal in zip(source, target, strict=True)
    ]
    return Patch(shifted[0][0], shifted[1][0]), Patch(shifted[0][1], shifted[1][1])


def patch_matrix(weight: Tensor, source: Patch, target: Patch) -> Tensor:
    """Return the convolution from a patch to the pooling windows of another, as a matrix.

    Args:
        weight: [P, k, k, in, out].
        source: rows and columns of the convolution's input.
        target: rows and columns of the pooled output; each has 4 members.

    Returns:
        [P, R*S*in, 4*R'*S'*out]; columns ordered by member, row, column, map.
    """
    side = weight.shape[1]
    # One tap of zeros beyond the kernel stands for everything that it does not reach.
    padded = functional.pad(weight, (0, 0, 0, 0, 0, 1, 0, 1))
    down = _taps(source.rows, target.rows, side, weight.device)
    across = _taps(source.columns, target.columns, side, weight.device)
    blocks = padded[:, down[:, None, :, None, :, None], across[None, :, None, :, None, :]]
    rows = source.rows.size * source.columns.size * weight.shape[3]
    return blocks.movedim(-2, 3).reshape(weight.shape[0], rows, -1)


def _taps(source: Span, target: Span, side: int, device: torch.device) -> Tensor:
    """Return the kernel's tap from input row i to member a of window j, [i, a, j]."""
    inputs = torch.arange(source.start, source.stop, device=device).view(-1, 1, 1)
    windows = torch.arange(target.start, target.stop, device=device)
    outputs = POOL * windows + torch.arange(POOL, device=device).view(-1, 1)
    taps = inputs - outputs + side // 2
    return torch.where((taps >= 0) & (taps < side), taps, side)
