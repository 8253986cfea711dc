"""Source `folder`: files in `data.root`: CSV, Parquet, npz, MNIST's idx files, CIFAR-10's batches.

A table `NAME.csv`, `NAME.tsv` or `NAME.parquet` with a column called class, target or label
needs no entry. Anything else is said in `NAME.yaml` beside it (the keys of
`sweep.datasets.catalog`), or in `conf/catalog/`: which `file`, its `target`, columns to `ignore`,
what to do with categories.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from sweep.datasets import image_files, own
from sweep.datasets.catalog import CatalogEntry, catalog, read_folder
from sweep.datasets.checks import differences, require
from sweep.datasets.values import DataOptions, RawData

NEEDS_ROOT = True
TABLES = (".csv", ".tsv", ".parquet", ".npz")


class NoFilesError(ValueError):
    """The folder has nothing of a data set."""


def names(root: str | None = None) -> tuple[str, ...]:
    """Return the catalog's names and those of the tables and entries in the folder."""
    known = dict.fromkeys(catalog())
    if root is not None:
        directory = Path(os.path.expanduser(root))  # noqa: PTH111
        for suffix in (*TABLES, ".yaml"):
            known.update(dict.fromkeys(path.stem for path in sorted(directory.glob(f"*{suffix}"))))
    return tuple(known)


def entry_of(name: str, options: DataOptions) -> CatalogEntry:
    """Return the user's entry, else the one beside the data, else the catalog's, else none."""
    beside = _beside(name, options.folder())
    return own.own_entry(name, options) or beside or catalog().get(name) or CatalogEntry(name)


def _beside(name: str, root: Path) -> CatalogEntry | None:
    """Return the entry beside the data.

    Raises:
        ValueError: it says that the data are elsewhere.
    """
    entry = read_folder(root).get(name)
    if entry is not None and (entry.source or entry.root):
        raise ValueError(
            f"{root / name}.yaml: source and root are said in data.catalog or conf/catalog; an "
            "entry beside the data is for those"
        )
    return entry


def _inside(root: Path, relative: str, where: str) -> Path:
    path = Path(os.path.normpath(root / relative))
    if not path.is_relative_to(os.path.normpath(root)):
        raise ValueError(f"{where}: file={relative!r} must lie in data.root={str(root)!r}")
    return path


def files(name: str, options: DataOptions) -> tuple[Path, ...]:
    """Return the files of a data set.

    Raises:
        ValueError: there are none, or the entry's `file` is missing or outside the folder.
    """
    root = options.folder()
    entry = entry_of(name, options)
    _refuse_folders([root / f"{name}{suffix}" for suffix in (*TABLES, ".yaml")])
    beside = root / f"{name}.yaml"
    described = (beside,) if beside.is_file() else ()
    if entry.file is not None:
        path = _inside(root, entry.file, f"data set {name}")
        if not path.is_file():
            raise ValueError(f"data set {name}: {path} is missing")
        return (path, *described)
    tables = [root / f"{name}{suffix}" for suffix in TABLES]
    found = [path for path in tables if path.is_file()]
    if len(found) > 1:
        raise ValueError(
            f"data set {name}: both {found[0].name} and {found[1].name} are in {root}; name one "
            "of them as file in the catalog entry"
        )
    if found:
        return (found[0], *described)
    images = image_files.find(name, root)
    if not images:
        allowed = [path.name for path in tables] + list(image_files.describe(name))
        raise NoFilesError(f"data set {name}: none of {', '.join(allowed)} is in {root}")
    return tuple(images)


def _refuse_folders(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            raise ValueError(f"{path}: is a folder, not a file")


def read(name: str, options: DataOptions) -> RawData:
    """Read one data set.

    Raises:
        ValueError: a file is missing or malformed, or is not what the entry says.
    """
    entry = entry_of(name, options)
    found = files(name, options)
    reader = _READERS.get(found[0].suffix)
    raw = reader(found[0], entry) if reader else image_files.read(name, list(found))
    if entry != catalog().get(name):
        counts = (
            ("rows", len(raw.y), entry.rows),
            ("features", raw.x[0].size, entry.features),
            ("classes", len(raw.classes), entry.classes),
        )
        require(f"{found[0]}", differences(counts))
    if entry.is_vision and not raw.is_vision:
        raw = image_files.images_from_columns(raw, entry.input_shape, False, f"{found[0]}")
    return replace(raw, num_test=raw.num_test or entry.num_test)


def _read_csv(path: Path, entry: CatalogEntry) -> RawData:
    from sweep.datasets.table_files import csv_to_raw

    return csv_to_raw(path, entry)


def _read_parquet(path: Path, entry: CatalogEntry) -> RawData:
    from sweep.datasets.table_files import parquet_to_raw

    return parquet_to_raw(path, entry)


def _read_npz(path: Path, entry: CatalogEntry) -> RawData:
    from sweep.datasets.table_files import read_npz

    return read_npz(path, entry.missing_target)


_READERS: dict[str, Callable[[Path, CatalogEntry], RawData]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".data": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
}
