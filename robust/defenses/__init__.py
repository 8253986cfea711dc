"""Defenses by name. A new one is a new module in this folder that registers itself."""

from __future__ import annotations

from robust.defenses import arub, baseline, nominal, pgd, rub  # noqa: F401  (they register)
from robust.defenses.base import DEFENSES, Defense, register

__all__ = ["Defense", "get", "names", "register"]

names = DEFENSES.names
get = DEFENSES.get
