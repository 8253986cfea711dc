"""A registry: name -> object, with errors that list the known names.

What attacks, certifies or trains in L1 balls in which features have costs, those of a data set's
entry, is called by the name of the same thing in the plain ball, followed by `(costs=catalog)`.
Such a ball is {delta : sum_m c_m |delta_m| <= rho} (`robust.bounds.ball`).
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Final, Generic, TypeVar

T = TypeVar("T")

# Kinds of networks for which something takes costs in L1 balls: None for every kind, () for none.
CostKinds = tuple[str, ...] | None

UNIFORM: Final = "uniform"  # 1 for every feature
CATALOG: Final = "catalog"  # those of the data set's entry
COSTS: Final[tuple[str, ...]] = (UNIFORM, CATALOG)
_SUFFIX: Final = f"(costs={CATALOG})"


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


def weighted(name: str) -> str:
    """Return the name of an attack or a certificate in balls with the catalog's costs."""
    return name + _SUFFIX


def is_weighted(name: str) -> bool:
    """Return whether a name says that its balls have the catalog's costs."""
    return name.endswith(_SUFFIX)


def unweighted(name: str) -> str:
    """Return the name of the same attack or certificate in plain balls."""
    return name.removesuffix(_SUFFIX)


def refuse_costs(what: str, norm: str | None, kinds: CostKinds) -> None:
    """Refuse costs for what knows no such balls.

    Args:
        what: takes costs or not, as the beginning of a sentence.
        norm: of its ball; None where there is none.
        kinds: of networks for which it takes costs in L1 balls.

    Raises:
        ValueError: it takes none.
    """
    if (reason := why_no_costs(norm, kinds)) is not None:
        raise ValueError(f"{what} {reason}")


def why_no_costs(norm: str | None, kinds: CostKinds) -> str | None:
    """Return why something takes no costs, as the end of a sentence, or None."""
    if norm != "l1":
        return f"takes no costs: they are for L1 balls, its ball is: {norm or 'none'}"
    return "takes no costs" if kinds == () else None


def both(kinds: CostKinds, others: CostKinds) -> CostKinds:
    """Return the kinds of networks that two requirements allow together."""
    if kinds is None or others is None:
        return others if kinds is None else kinds
    return tuple(kind for kind in kinds if kind in others)
