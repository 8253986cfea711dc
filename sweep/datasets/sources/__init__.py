"""Where data sets come from: one file per source, one entry here.

A source is a module with

- `names(root)`: the data sets that it offers, given its folder;
- `read(name, options)`: a `RawData`, or a one-line ValueError;
- `files(name, options)`: the files it reads; facts about a data set are kept on disk for as long
  as these do not change. None means that reading is so cheap that nothing is kept;
- `NEEDS_ROOT`: whether `data.root` must be an existing folder.
"""

from __future__ import annotations

from types import ModuleType

from sweep.datasets.sources import authors, bundled, folder, openml

SOURCES: dict[str, ModuleType] = {
    "bundled": bundled,
    "openml": openml,
    "authors": authors,
    "folder": folder,
}


def source(name: str) -> ModuleType:
    """Return the source of that name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in SOURCES:
        raise ValueError(f"data.source={name!r} is unknown; known: {', '.join(SOURCES)}")
    return SOURCES[name]
