"""Windows of maps as slices: what pooling layers share.

Legend: P networks in the pack, M maps, R x S rows and columns, R' x S' windows, W = k*l members
of a window, numbered row by row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor

Pair = tuple[int, int]


def check_pair(name: str, value: int | Sequence[int], least: int) -> Pair:
    """Return rows and columns; one number stands for both.

    Raises:
        ValueError: no pair of whole numbers of at least `least`.
    """
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or any(not isinstance(side, int) or side < least for side in pair):
        raise ValueError(f"{name} must be two whole numbers of at least {least}, got {value!r}")
    return pair[0], pair[1]


def sides_after(
    sides: Sequence[int], kernel: Pair, stride: Pair, padding: Pair = (0, 0)
) -> tuple[int, ...]:
    """Return how many windows fit, by rows and by columns; what is beyond the last is left out.

    Raises:
        ValueError: not one fits.
    """
    after = tuple(
        (side + 2 * pad - k) // step + 1
        for side, k, step, pad in zip(sides, kernel, stride, padding, strict=True)
    )
    if min(after) < 1:
        raise ValueError(
            f"maps of {sides[0]} x {sides[1]} are smaller than a window of "
            f"{kernel[0]} x {kernel[1]}"
        )
    return after


def members(maps: Tensor, kernel: Pair, stride: Pair, sides: Sequence[int]) -> Iterator[Tensor]:
    """Yield the W members of all windows: views [..., R', S'] of maps [..., R, S]."""
    for row, column in product(range(kernel[0]), range(kernel[1])):
        yield maps[
            ...,
            row : row + stride[0] * (sides[0] - 1) + 1 : stride[0],
            column : column + stride[1] * (sides[1] - 1) + 1 : stride[1],
        ]


def picked(maps: Tensor, member: Tensor, kernel: Pair, stride: Pair) -> Tensor:
    """Return one member of each window, [..., R', S'].

    Args:
        maps: [..., R, S].
        member: its number, broadcastable to [..., R', S'].
        kernel, stride: of the windows.
    """
    stacked = torch.stack(list(members(maps, kernel, stride, member.shape[-2:])))
    return stacked.gather(0, member.expand(stacked.shape[1:]).unsqueeze(0)).squeeze(0)


def spread(
    values: Tensor, member: Tensor | None, kernel: Pair, stride: Pair, sides: Sequence[int]
) -> Tensor:
    """Send the value of each window to one member, or to all: [..., R', S'] -> [..., R, S].

    Members of several windows get the sum, always in the same order.

    Args:
        values: [..., R', S'].
        member: its number, broadcastable to them; None for all members.
        kernel, stride: of the windows.
        sides: R and S.
    """
    maps = values.new_zeros((*values.shape[:-2], *sides))
    for number, view in enumerate(members(maps, kernel, stride, values.shape[-2:])):
        view += values if member is None else values * (member == number)
    return maps
