"""Attacks by name. A new one is a new module in this folder that registers itself."""

from __future__ import annotations

from robust.attacks.base import ATTACKS, Attack, register
from robust.registry import discover, unweighted

__all__ = ["Attack", "get", "names", "register"]

discover(__name__)

names = ATTACKS.names


def get(name: str) -> Attack:
    """Return the attack of that name; `vertex-l1(costs=catalog)` is `vertex-l1`.

    It gets its costs from whoever has them (`Attack.with_costs`).

    Raises:
        ValueError: the name is unknown.
    """
    return ATTACKS.get(unweighted(name))
