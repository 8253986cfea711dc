"""Defenses by name. A new one is a new module in this folder that registers itself."""

from __future__ import annotations

from robust.defenses import (  # noqa: F401  (they register)
    arub,
    baseline,
    coap,
    fgsm,
    nominal,
    pgd,
    rub,
)
from robust.defenses.base import ALL_KINDS, DEFENSES, Defense, register

__all__ = ["ALL_KINDS", "Defense", "get", "names", "register"]

names = DEFENSES.names
get = DEFENSES.get
