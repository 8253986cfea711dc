"""Packs of one shape put together: the inverse of `subset`.

Legend: P networks in a pack.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch

from robust.networks.base import AnyPack

Pack = TypeVar("Pack", bound=AnyPack)


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
        if _architecture(pack) != _architecture(packs[0]):
            raise ValueError(
                f"pack {number} is {_shown(pack)}, and pack 0 is {_shown(packs[0])}; only "
                "networks of one architecture make a pack"
            )
    whole = copy.deepcopy(packs[0])
    states = [pack.state_dict() for pack in packs]
    for name, parameter in whole.named_parameters():
        parameter.data = torch.cat([state[name] for state in states])
    return whole


def _architecture(pack: AnyPack) -> tuple[object, ...]:
    """What packs have in common that can be joined."""
    parts = [(name, p.shape[1:], p.dtype, p.device) for name, p in pack.named_parameters()]
    return type(pack), pack.header(), parts


def _shown(pack: AnyPack) -> str:
    shapes = [tuple(parameter.shape[1:]) for parameter in pack.parameters()]
    dtype = next(iter(pack.parameters())).dtype
    return f"{type(pack).__name__} with parameters {shapes}, {dtype}"
