"""Where data sets come from: one file per source, found by this folder.

A source is a module with

- `names(root)`: the data sets that it offers, given its folder;
- `read(name, options)`: a `RawData`, or a one-line ValueError;
- `files(name, options)`: the files it reads; facts about a data set are kept on disk for as long
  as these do not change. None means that reading is so cheap that nothing is kept;
- `NEEDS_ROOT`: whether `data.root` must be an existing folder.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from robust.registry import PluginError, Registry, discover

_PARTS = ("names", "read", "files", "NEEDS_ROOT")


@cache
def sources() -> Registry[ModuleType]:
    """Return every source, by the name of its file.

    Raises:
        PluginError: a file here cannot be imported, or lacks a part of a source.
    """
    found: Registry[ModuleType] = Registry("source of data")
    for name, module in discover(__name__).items():
        lacking = [part for part in _PARTS if not hasattr(module, part)]
        if lacking:
            raise PluginError(f"sweep/datasets/sources/{name}.py has no {', '.join(lacking)}")
        found.add(name, module)
    return found


def source(name: str) -> ModuleType:
    """Return the source of that name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in sources().names():
        raise ValueError(f"data.source={name!r} is unknown; known: {', '.join(sources())}")
    return sources().get(name)
