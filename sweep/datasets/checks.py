"""Comparing what was read with what the catalog says; every difference shows both."""

from __future__ import annotations

import numpy as np

from sweep.datasets.catalog import CatalogEntry, catalog
from sweep.datasets.values import IntArray, RawData

Counts = tuple[tuple[str, int, int | None], ...]  # (what, found, expected or None if unknown)


def differences(counts: Counts) -> list[str]:
    """Return one phrase for each count that is not the expected one."""
    return [
        f"{found} {what}, expected {expected}"
        for what, found, expected in counts
        if expected is not None and found != expected
    ]


def require(where: str, found: list[str]) -> None:
    """Raise ValueError naming every difference, if there are any."""
    if found:
        raise ValueError(f"{where} is not what the catalog says: {'; '.join(found)}")


def class_sizes(y: IntArray) -> tuple[int, ...]:
    """Return the number of rows of each class, largest first."""
    return tuple(sorted(np.bincount(y).tolist(), reverse=True))


def size_differences(y: IntArray, entry: CatalogEntry) -> list[str]:
    """Compare the class sizes with those of the set that the paper used."""
    found = class_sizes(y)
    if not entry.class_sizes or found == entry.class_sizes:
        return []
    return [f"class sizes {list(found)}, expected {list(entry.class_sizes)}"]


def hash_difference(found: str, expected: str | None, recorded_in: str) -> list[str]:
    """Compare the hash of the raw arrays with a recorded one."""
    if expected is None or found == expected:
        return []
    return [f"arrays with hash {found}, {recorded_in} recorded {expected}"]


def same_arrays(name: str, source: str, raw_hash: str) -> str | None:
    """Return the other data set whose recorded arrays these are, if any."""
    for other, entry in catalog().items():
        if other != name and (entry.hashes or {}).get(source) == raw_hash:
            return other
    return None


def catalog_differences(
    entry: CatalogEntry | None, source: str, raw: RawData, raw_hash: str
) -> list[str]:
    """Compare a data set that was read with the entry that describes it, if there is one.

    Source openml compares by itself, and bundled sets differ where their notes say so.
    """
    if entry is None:
        return []
    expected = (entry.hashes or {}).get(source)
    found = hash_difference(raw_hash, expected, "the catalog")
    if source in ("openml", "bundled") or (expected is not None and not found):
        return found
    counts = (
        ("rows", len(raw.y), entry.rows),
        ("features", raw.x[0].size, entry.features),
        ("classes", len(raw.classes), entry.classes),
    )
    return differences(counts) + found


def require_usable(raw: RawData, name: str) -> None:
    """Refuse data that no network can be trained on, from whatever source.

    Raises:
        ValueError: there are no rows, no features, or fewer than two classes.
    """
    if raw.x.ndim < 2 or raw.x[:1].size == 0:
        what = "rows" if len(raw.x) == 0 else "features"
        raise ValueError(f"data set {name}: has no {what}")
    if len(raw.classes) < 2:
        raise ValueError(
            f"data set {name}: has only one class ({', '.join(raw.classes)}); "
            "at least two are needed"
        )
