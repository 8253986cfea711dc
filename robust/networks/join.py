"""Packs of one shape put together: the inverse of `subset`.

Legend: P networks in a pack.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Pack = TypeVar("Pack", bound=nn.Module)


@torch.no_grad()
def join(packs: Sequence[Pack]) -> Pack:
    """Return one pack of copies of the networks of several, in their order.

    Args:
        packs: at least one; of one architecture, type and device.

    Raises:
        ValueError: no pack, or packs that differ in more than P.
    """
    if not packs:
        raise ValueError("join needs at least one pack")
    for number, pack in enumerate(packs):
        if _shape(pack) != _shape(packs[0]):
            raise ValueError(
                f"pack {number} is {_shape(pack)}, and pack 0 is {_shape(packs[0])}; only "
                "networks of one architecture make a pack"
            )
    whole = copy.deepcopy(packs[0])
    states = [pack.state_dict() for pack in packs]
    for name, parameter in whole.named_parameters():
        parameter.data = torch.cat([state[name] for state in states])
    return whole


def _shape(pack: nn.Module) -> tuple[str, object, list[tuple[str, tuple[int, ...], str]]]:
    """What packs have in common that can be joined."""

    def of(name: str, tensor: Tensor) -> tuple[str, tuple[int, ...], str]:
        return name, tuple(tensor.shape[1:]), str(tensor.dtype)

    parts = [of(name, tensor) for name, tensor in pack.named_parameters()]
    return type(pack).__name__, getattr(pack, "input_shape", None), parts
