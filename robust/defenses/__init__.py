"""Defenses by name. A new one is a new module in this folder that registers itself."""

from __future__ import annotations

from robust.defenses.base import DEFENSES, Defense, StepCost, get, register, variant
from robust.registry import discover

__all__ = ["Defense", "StepCost", "get", "names", "register", "variant"]

discover(__name__)

names = DEFENSES.names
