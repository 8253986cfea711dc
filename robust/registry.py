"""A registry: name -> object, with errors that list the known names."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Generic, TypeVar

T = TypeVar("T")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message that a name is unknown, with the nearest and all known ones."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {kind} {name!r}{hint}; known: {', '.join(names)}"


class PluginError(ValueError):
    """A module that should register something cannot be imported."""


class Registry(Generic[T]):
    """Names of one kind of thing, in the order in which they were registered."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Register `item` under `name`.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item
        return item

    def names(self) -> tuple[str, ...]:
        """All registered names.

        Raises:
            PluginError: there are none, so that nothing would be tested or run.
        """
        if not self._items:
            raise PluginError(f"no {self.kind} is registered")
        return tuple(self._items)

    def get(self, name: str) -> T:
        """Return the object registered under `name`.

        Raises:
            ValueError: the name is unknown; the message lists the known ones.
        """
        if name not in self._items:
            raise ValueError(unknown(self.kind, name, self._items))
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)


def discover(package: str) -> dict[str, ModuleType]:
    """Import every module in a package's folder, so that what they register is known.

    Args:
        package: its name; it is being imported.

    Returns:
        The modules by their names within the package, in alphabetical order.

    Raises:
        PluginError: a module cannot be imported; the message names its file.
    """
    folder = sys.modules[package].__path__
    found = {}
    for module in sorted(pkgutil.iter_modules(folder), key=lambda module: module.name):
        name = f"{package}.{module.name}"
        try:
            found[module.name] = importlib.import_module(name)
        except Exception as error:
            where = f"{package.replace('.', '/')}/{module.name}.py"
            raise PluginError(
                f"{where} cannot be imported: {type(error).__name__}: {error}"
            ) from error
    return found
