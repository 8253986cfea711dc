"""Source `openml`: the catalog's data sets from OpenML.

What is downloaded is verified against the catalog and kept as arrays under `data.root` with
their hash; later loads compare with the hash of the first. Workers that start at once wait for
one of them to download. Failures are retried with growing pauses.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.datasets.cache import cache_folder, load_arrays, locked, save_arrays
from sweep.datasets.catalog import CatalogEntry, OpenMLEntry, catalog
from sweep.datasets.checks import differences, hash_difference, require, size_differences
from sweep.datasets.download import RefusedError, fetch_table
from sweep.datasets.fingerprint import arrays_hash
from sweep.datasets.image_files import images_from_columns
from sweep.datasets.own import entry_of
from sweep.datasets.values import DataOptions, RawData
from sweep.files import write_text
from sweep.hashing import content_hash

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

NEEDS_ROOT = False  # the cache has a default folder
ATTEMPTS = 5
PAUSE_SECONDS = 1.0  # before the second attempt; doubled before each further one
_ARRAYS_VERSION = 1  # raised when the same download would give other arrays


def names(root: str | None = None) -> tuple[str, ...]:
    """Return every name of the catalog, also the few without a known OpenML id."""
    return tuple(catalog())


def _entry(name: str, options: DataOptions) -> CatalogEntry:
    return entry_of(name, options) or CatalogEntry(name)


def _openml_entry(entry: CatalogEntry) -> OpenMLEntry:
    if entry.openml is None:
        raise ValueError(
            f"data set {entry.name}: no OpenML id is known; use data.source=authors or folder "
            "for it, or leave it out of grid.dataset"
        )
    return entry.openml


def files(name: str, options: DataOptions) -> tuple[Path, ...]:
    """Return the file that keeps the arrays."""
    entry = _entry(name, options)
    rules = content_hash(
        [
            *(_ARRAYS_VERSION, asdict(_openml_entry(entry)), entry.rows, entry.num_test),
            *(entry.categorical, entry.missing_target, list(entry.input_shape)),
        ]
    )
    return (cache_folder(options) / "openml" / f"{name}-{rules}.npz",)


def read(name: str, options: DataOptions) -> RawData:
    """Return a data set, from the cache if it is there, else downloaded and verified.

    Raises:
        ValueError: the download failed, or is not what the catalog or the first load says.
    """
    entry = _entry(name, options)
    (path,) = files(name, options)
    raw = _cached(path)
    if raw is None:
        with locked(path.with_suffix(".lock")):
            raw = _cached(path)  # another worker may have been faster
            if raw is None:
                raw = _download(entry, path, options.timeout_seconds)
    return raw


def _hash_file(path: Path) -> Path:
    return path.with_suffix(".hash")


def recorded_hash(path: Path) -> str | None:
    """Return the hash recorded on the first load, if there was one."""
    try:
        return _hash_file(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def _cached(path: Path) -> RawData | None:
    raw = load_arrays(path)
    if raw is not None and arrays_hash(raw) == recorded_hash(path):
        return raw
    if path.exists():
        logger.warning("%s is damaged; downloading it again", path)
    return None


def _download(entry: CatalogEntry, path: Path, timeout: float) -> RawData:
    raw = to_raw(_with_retries(entry, path.parent / "client", timeout), entry)
    found = arrays_hash(raw)
    first_load = hash_difference(found, recorded_hash(path), f"the first load ({path.name})")
    catalogued = (entry.hashes or {}).get("openml")
    require(_where(entry), first_load + hash_difference(found, catalogued, "the catalog"))
    save_arrays(path, raw)
    write_text(_hash_file(path), found + "\n")
    return raw


def _where(entry: CatalogEntry) -> str:
    return f"OpenML data {_openml_entry(entry).id} ({entry.name})"


def _with_retries(entry: CatalogEntry, client_folder: Path, timeout: float) -> pd.DataFrame:
    """Fetch the table; each attempt starts without what a failed one left behind.

    Raises:
        ValueError: OpenML has no such data set, or every attempt failed.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return fetch_table(_openml_entry(entry).id, client_folder, timeout)
        # The openml package raises whatever its parsers raise, down to bare Exception.
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            if isinstance(error, RefusedError) or attempt == ATTEMPTS:
                raise ValueError(
                    f"{_where(entry)} cannot be downloaded (attempt {attempt} of {ATTEMPTS}): "
                    f"{reason}"
                ) from None
            pause = PAUSE_SECONDS * 2 ** (attempt - 1)
            logger.warning("%s: %s; trying again in %g s", _where(entry), reason, pause)
            time.sleep(pause)
    raise AssertionError("unreachable")


def to_raw(table: pd.DataFrame, entry: CatalogEntry) -> RawData:
    """Verify a downloaded table against the catalog and turn it into arrays.

    Raises:
        ValueError: rows, features or classes differ from the catalog's, or a value is unusable.
    """
    known, where = _openml_entry(entry), _where(entry)
    shape = (("rows", len(table), known.rows), ("features", table.shape[1] - 1, known.features))
    require(where, differences(shape))
    raw, notes = _paper_rows(table, entry)
    inputs = known.inputs or entry.features
    classes = known.classes or entry.classes
    counts = (("classes", len(raw.classes), classes), ("inputs", raw.x.shape[1], inputs))
    require(where, differences(counts))
    if entry.confidence != "confirmed":
        notes.append(f"the catalog entry is marked {entry.confidence}: {entry.notes}")
    if entry.is_vision:
        raw = images_from_columns(raw, entry.input_shape, known.planes_first, where)
    return replace(raw, num_test=entry.num_test, notes=(*raw.notes, *notes))


def _paper_rows(table: pd.DataFrame, entry: CatalogEntry) -> tuple[RawData, list[str]]:
    """Restrict a union of UCI's files to the rows that the paper used, where they are known.

    A rule that is not sure and turns out wrong leaves all the rows, with a note.
    """
    known = _openml_entry(entry)
    if known.paper_rows is None:
        raw = _arrays(table, entry)
        comparable = known.rows == entry.rows and known.classes in (None, entry.classes)
        found = size_differences(raw.y, entry) if comparable else []
        if entry.confidence == "confirmed":
            require(_where(entry), found)
        return raw, found
    rows = known.paper_rows.first
    try:
        raw = _arrays(table.iloc[:rows], entry)
        require(
            f"{_where(entry)}: the block of the first {rows} rows", size_differences(raw.y, entry)
        )
    except ValueError as error:
        if known.paper_rows.confidence == "confirmed":
            raise
        note = f"all {len(table)} rows are used; the paper's could not be told apart: {error}"
        return _arrays(table, entry), [note]
    return raw, []


def _arrays(table: pd.DataFrame, entry: CatalogEntry) -> RawData:
    from sweep.datasets.table import TableRules, table_to_raw

    known = _openml_entry(entry)
    rules = TableRules(known.target, known.ignore, entry.categorical, entry.missing_target)
    return table_to_raw(table, rules, _where(entry))
