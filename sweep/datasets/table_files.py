"""Reading a user's tables: CSV, Parquet and npz, with one clear line for what is wrong."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sweep.datasets import wide_csv
from sweep.datasets.catalog import CatalogEntry
from sweep.datasets.table import (
    TableRules,
    check_finite,
    encode_labels,
    label_texts,
    shown,
    table_to_raw,
    unique_columns,
)
from sweep.datasets.values import RawData
from sweep.datasets.wide_csv import read_wide, rows_of

MISSING_MARKS = ("?",)  # beside pandas' own: empty, NA, NaN, null and the like


def read_csv(path: Path, header: bool) -> pd.DataFrame:
    """Read a comma-separated file; UTF-8 with or without a byte-order mark, any line ends.

    Args:
        header: whether the first line holds the column names; else they are V1, V2 ...

    Raises:
        ValueError: the file is empty, not UTF-8, has lines of different lengths or a column
            name twice.
    """
    try:
        first = next(rows_of(path))
        columns = [f"V{i + 1}" for i in range(len(first))]
        if header:
            columns = unique_columns(first, str(path))
        frame = read_wide(path, header, _csv) if len(columns) >= wide_csv.MANY else None
        if frame is None:
            frame = _csv(path, header=0 if header else None)
    except (pd.errors.EmptyDataError, StopIteration):
        raise ValueError(f"{path}: the file is empty") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except pd.errors.ParserWarning:
        raise ValueError(f"{path}: a line has more values than there are column names") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    frame.columns = pd.Index(columns, dtype=object)
    return frame


def _csv(path: Path | io.StringIO, **options: object) -> pd.DataFrame:
    settings = {
        "encoding": "utf-8-sig",
        "skipinitialspace": True,
        "low_memory": False,  # a column's type is decided once, not chunk by chunk
        "index_col": False,  # never take the first column for row labels
        "na_values": list(MISSING_MARKS),
    }
    with warnings.catch_warnings():
        # Without this a line that is longer than the header would lose its last values.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame: pd.DataFrame = pd.read_csv(path, **settings, **options)  # type: ignore[call-overload]
    return frame


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


def table_with_target(
    frame: pd.DataFrame, entry: CatalogEntry, usual_targets: Iterable[str], where: str
) -> RawData:
    """Turn a table into arrays by its entry, or by the usual names of a target column.

    Raises:
        ValueError: no entry names the target and none or several columns have a usual name.
    """
    target = entry.target
    if target is None:
        names = unique_columns(frame.columns, where)
        found = [name for name in names if name.casefold() in tuple(usual_targets)]
        if len(found) != 1:
            raise ValueError(
                f"{where}: which column is the target? Say target: in {entry.name}.yaml beside "
                f"it; columns: {shown(names)}"
            )
        target = found[0]
    rules = TableRules(target, entry.ignore, entry.categorical, entry.missing_target)
    return table_to_raw(frame, rules, where)


def read_npz(path: Path) -> RawData:
    """Read arrays `x` and `y`, or `x_train`, `y_train`, `x_test`, `y_test` (in any case).

    x is [N, D] numbers, or uint8 images [N, H, W] or [N, H, W, C]; y is [N].

    Raises:
        ValueError: the file is damaged, an array is missing, or a shape or type is wrong.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key.casefold(): file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a readable npz file: {error}") from None
    parts = ("",) if "x" in arrays else ("_train", "_test")
    missing = [f"{a}{part}" for part in parts for a in "xy" if f"{a}{part}" not in arrays]
    if missing:
        raise ValueError(
            f"{path}: no array {missing[0]!r}; arrays: {shown(list(arrays))}; expected x and y, "
            "or x_train, y_train, x_test and y_test"
        )
    if len({arrays[f"x{part}"].shape[1:] for part in parts}) > 1:
        raise ValueError(f"{path}: x_train and x_test differ in shape")
    x = _npz_features(np.concatenate([arrays[f"x{part}"] for part in parts]), path)
    labels = np.concatenate([arrays[f"y{part}"] for part in parts])
    if labels.shape != (len(x),) or labels.dtype.kind not in "iufUb":
        raise ValueError(
            f"{path}: y must be {len(x)} numbers or texts, got {labels.dtype} {labels.shape}"
        )
    y, classes = encode_labels(label_texts(labels.tolist()), str(path))
    num_test = len(arrays["y_test"]) if len(parts) == 2 else 0
    names = () if x.ndim == 4 else tuple(f"column {i}" for i in range(x.shape[1]))
    return RawData(x=x, y=y, classes=classes, features=names, num_test=num_test)


def _npz_features(x: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
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
