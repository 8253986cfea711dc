"""From a user's file to arrays: CSV, Parquet and npz, with one clear line for what is wrong."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sweep.datasets.catalog import CatalogEntry
from sweep.datasets.choices import choices
from sweep.datasets.csv_files import CsvRules, read_csv
from sweep.datasets.table import (
    RowError,
    TableRules,
    check_finite,
    encode_labels,
    label_texts,
    shown,
    table_to_raw,
    unique_columns,
)
from sweep.datasets.values import RawData

TARGETS = ("class", "target", "label")


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file.

    Raises:
        ValueError: the file is damaged or not Parquet.
    """
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: not a readable Parquet file: {reason}") from None


def rules_of(entry: CatalogEntry, columns: Sequence[str], where: str) -> TableRules:
    """Return an entry's rules, with the usual name of a target column where it names none.

    Raises:
        ValueError: no entry names the target and none or several columns have a usual name.
    """
    target = entry.target
    if target is None:
        found = [name for name in columns if name.casefold() in TARGETS]
        if len(found) != 1:
            raise ValueError(
                f"{where}: which column is the target? Say target: in {entry.name}.yaml beside "
                "it, or let `robust-sweep data check FILE target=COLUMN` write an entry; "
                f"columns: {shown(columns)}"
            )
        target = found[0]
    return TableRules(
        target, entry.ignore, entry.categorical, entry.missing_target, entry.categories
    )


def csv_rules(entry: CatalogEntry) -> CsvRules:
    """Return how an entry says that its CSV file is to be read."""
    return CsvRules(entry.header, entry.separator, entry.decimal, entry.missing)


def csv_to_raw(path: Path, entry: CatalogEntry) -> RawData:
    """Read a CSV file into arrays; errors name its line.

    Raises:
        ValueError: it cannot be read, or holds what the entry does not allow.
    """
    table = read_csv(path, csv_rules(entry))
    rules = rules_of(entry, [str(name) for name in table.frame.columns], str(path))
    try:
        raw = table_to_raw(table.frame, rules, str(path))
    except RowError as error:
        raise table.in_line(error) from None
    return replace(
        raw, notes=choices(raw), missing=table.rules.missing, decimal=table.rules.decimal
    )


def parquet_to_raw(path: Path, entry: CatalogEntry) -> RawData:
    """Read a Parquet file into arrays.

    Raises:
        ValueError: it cannot be read, or holds what the entry does not allow.
    """
    frame = read_parquet(path)
    columns = unique_columns(frame.columns, str(path))
    raw = table_to_raw(frame, rules_of(entry, columns, str(path)), str(path))
    return replace(raw, notes=choices(raw))


def read_npz(path: Path, missing_target: str = "refuse") -> RawData:
    """Read arrays `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test` (in any case).

    x is [N, D] numbers, or uint8 images [N, H, W] or [N, H, W, C]; y is [N].

    Args:
        missing_target: what to do with rows whose label is NaN: refuse, drop, or class.

    Raises:
        ValueError: the file is damaged, an array is missing, or a shape, type or value is wrong.
    """
    arrays = _npz_arrays(path)
    parts = ("",) if "x" in arrays else ("_train", "_test")
    missing = [f"{a}{part}" for part in parts for a in "xy" if f"{a}{part}" not in arrays]
    if missing:
        raise ValueError(
            f"{path}: no array {missing[0]!r}; arrays: {shown(list(arrays))}; expected x and y, "
            "or x_train, y_train, x_test and y_test"
        )
    flat = [key for key in (f"x{part}" for part in parts) if arrays[key].ndim < 1]
    if flat:
        raise ValueError(f"{path}: {flat[0]} must be an array of rows, got a single value")
    if len({arrays[f"x{part}"].shape[1:] for part in parts}) > 1:
        raise ValueError(f"{path}: x_train and x_test differ in shape")
    kept = [
        _npz_part(arrays[f"x{p}"], arrays[f"y{p}"], f"y{p}", missing_target, path) for p in parts
    ]
    x = _npz_features(np.concatenate([rows for rows, _ in kept]), path)
    labels = [label for _, own in kept for label in own.tolist()]
    y, classes = encode_labels(label_texts(labels), str(path))
    num_test = len(kept[1][1]) if len(parts) == 2 else 0
    names = () if x.ndim == 4 else tuple(f"column {i}" for i in range(x.shape[1]))
    return RawData(x=x, y=y, classes=classes, features=names, num_test=num_test)


def _npz_arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable npz file: {reason}") from None
    names = [key.casefold() for key in arrays]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: array {twice[0]!r} is there twice, in different case")
    return dict(zip(names, arrays.values(), strict=True))


def _npz_part(
    x: NDArray[np.generic], y: NDArray[np.generic], name: str, missing_target: str, path: Path
) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return the rows of one part that have a label, and their labels.

    Raises:
        ValueError: the labels are none, or one is missing where that is to be refused.
    """
    if y.shape != (len(x),) or y.dtype.kind not in "iufUb":
        raise ValueError(
            f"{path}: {name} must be {len(x)} numbers or texts, got {y.dtype} {list(y.shape)}"
        )
    if y.dtype.kind != "f":
        return x, y
    numbers = y.astype(np.float64)
    if np.isinf(numbers).any():
        raise ValueError(f"{path}: {name} has infinite values, which are no labels")
    absent = np.isnan(numbers)
    if not absent.any() or missing_target == "class":
        return x, y
    if missing_target == "refuse":
        raise ValueError(
            f"{path}: {int(absent.sum())} rows have no label ({name} is NaN); "
            "allowed: missing_target: drop, or class, in the catalog entry"
        )
    return x[~absent], y[~absent]


def _npz_features(x: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    if x.ndim > 1 and x[:1].size == 0 and len(x):
        raise ValueError(f"{path}: x has no features, got {x.dtype} {list(x.shape)}")
    if x.ndim in (3, 4) and x.dtype == np.uint8:
        return x.reshape(*x.shape[:3], -1)
    if x.ndim != 2 or x.dtype.kind not in "iufb":
        raise ValueError(
            f"{path}: x must be numbers [N, D] or uint8 images [N, H, W, C], "
            f"got {x.dtype} {list(x.shape)}"
        )
    table = x.astype(np.float64)
    check_finite(table, (), str(path))
    return table
