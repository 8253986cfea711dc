"""Where data sets come from: one file per source, one entry here.

A source has `names(root)`, the data sets it offers, and `read(name, options)`, which returns a
`RawData` or raises a one-line ValueError.
"""

from __future__ import annotations

from types import ModuleType

from sweep.datasets.sources import bundled

SOURCES: dict[str, ModuleType] = {"bundled": bundled}


def source(name: str) -> ModuleType:
    """Return the source of that name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in SOURCES:
        raise ValueError(f"data.source={name!r} is unknown; known: {', '.join(SOURCES)}")
    return SOURCES[name]
