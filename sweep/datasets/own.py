"""A user's own catalog: `data.catalog`, a folder with one entry per data set.

An entry there may say where its data set comes from (`source`, `root`), so that one sweep takes
some from one source and some from another. One that says nothing else, or only what moving its
features costs (`costs`, `costs_per`), takes the rest from `conf/catalog/`; any other stands in
place of the entry of that name there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sweep.datasets.catalog import CatalogEntry, catalog, read_entry
from sweep.datasets.values import DataOptions


def own_names(options: DataOptions) -> tuple[str, ...]:
    """Return the names of the entries in the user's catalog."""
    if options.catalog is None:
        return ()
    return tuple(sorted(path.stem for path in Path(options.catalog).glob("*.yaml")))


def own_file(name: str, options: DataOptions) -> Path | None:
    """Return the user's entry of a data set, if there is one."""
    if options.catalog is None or name not in own_names(options):
        return None
    return Path(options.catalog) / f"{name}.yaml"


def own_entry(name: str, options: DataOptions) -> CatalogEntry | None:
    """Return the user's entry, if it says more than a source and costs.

    Raises:
        ValueError: it cannot be read, or a key or value of it is wrong.
    """
    path = own_file(name, options)
    entry = read_entry(path) if path is not None else None
    if entry is None or _without(entry) == CatalogEntry(name):
        return None
    return entry


def _without(entry: CatalogEntry) -> CatalogEntry:
    """Return an entry without what says nothing of the data."""
    return replace(entry, source=None, root=None, costs=None, costs_per=CatalogEntry.costs_per)


def entry_of(name: str, options: DataOptions) -> CatalogEntry | None:
    """Return the user's entry, else the one of `conf/catalog/`, if there is any.

    Costs that the user's entry names stand in place of those there.
    """
    own, path = own_entry(name, options), own_file(name, options)
    known = own or catalog().get(name)
    if own is not None or path is None or (said := read_entry(path)).costs is None:
        return known
    return replace(known or CatalogEntry(name), costs=said.costs, costs_per=said.costs_per)


def located(name: str, options: DataOptions) -> DataOptions:
    """Return the options that one data set is read with: its entry's source wins.

    Without `source`, an entry with `file` comes from a folder and one with `openml` from there.
    `root` is relative to the entry; where it is absent, a `file` lies beside the entry.

    Raises:
        ValueError: the user's entry cannot be read, or a key or value of it is wrong.
    """
    path = own_file(name, options)
    entry = read_entry(path) if path is not None else catalog().get(name)
    if entry is None or (path is None and entry.source is None):
        return options
    source = entry.source or _implied_source(entry) or options.source
    root = options.root if source == options.source else None
    if path is not None and (entry.root is not None or entry.file is not None):
        root = str(path.parent / Path(entry.root or ".").expanduser())
    return replace(options, source=source, root=root)


def _implied_source(entry: CatalogEntry) -> str | None:
    if entry.file is not None:
        return "folder"
    return "openml" if entry.openml is not None else None


def is_described(name: str, options: DataOptions) -> bool:
    """Return whether the user's entry says all that its source needs to know of a data set."""
    entry = own_entry(name, options)
    return entry is not None and (entry.file is not None or entry.openml is not None)
