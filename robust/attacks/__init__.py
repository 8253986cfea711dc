"""Attacks by name. A new one is a new module in this folder that registers itself."""

from __future__ import annotations

from robust.attacks import gradient, vertex  # noqa: F401  (they register)
from robust.attacks.base import ATTACKS, Attack, register

__all__ = ["Attack", "get", "names", "register"]

names = ATTACKS.names
get = ATTACKS.get
