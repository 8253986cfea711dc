"""Methods of certification by name. A new one is a new module in this folder."""

from __future__ import annotations

from robust.bounds.methods.base import METHODS, Bounds, ForNetworks, Method, register
from robust.registry import discover

__all__ = ["Bounds", "ForNetworks", "Method", "get", "names", "register"]

discover(__name__)

names = METHODS.names
get = METHODS.get
