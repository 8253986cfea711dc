"""Attacks by name. A new one is a new module in this folder that registers itself."""

from __future__ import annotations

from robust.attacks.base import ATTACKS, Attack, register
from robust.registry import discover

__all__ = ["Attack", "get", "names", "register"]

discover(__name__)

names = ATTACKS.names
get = ATTACKS.get
