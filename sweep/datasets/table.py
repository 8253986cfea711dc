"""From a table of named columns to arrays: target, ignored columns, categories, missing values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sweep.datasets.values import FloatArray, IntArray, RawData

_SHOWN = 12  # names listed in an error before "..."


@dataclass(frozen=True)
class TableRules:
    """How to read a table; the fields are those of a catalog entry."""

    target: str
    ignore: tuple[str, ...] = ()
    categorical: str = "refuse"
    missing_target: str = "refuse"


def shown(names: Sequence[str]) -> str:
    """Join names for an error message, at most a dozen of them."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _loose(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def find_column(wanted: str, columns: Sequence[str], where: str) -> int:
    """Return the position of a column: the exact name, else the only one that differs in case
    or punctuation alone.

    Raises:
        ValueError: there is no such column, or more than one.
    """
    exact = [i for i, column in enumerate(columns) if column == wanted]
    found = exact or [i for i, column in enumerate(columns) if _loose(column) == _loose(wanted)]
    if len(found) != 1:
        raise ValueError(f"{where}: no column {wanted!r}; columns: {shown(columns)}")
    return found[0]


def unique_columns(names: Iterable[object], where: str) -> list[str]:
    """Return the column names as stripped text.

    Raises:
        ValueError: a name occurs twice.
    """
    columns = [str(name).strip() for name in names]
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise ValueError(f"{where}: duplicate column names: {shown(twice)}")
    return columns


def _label_text(value: object) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def label_texts(values: Iterable[Any]) -> list[str]:
    """Return labels as text: 1 and 1.0 are the same label, no label is the label `missing`."""
    return ["missing" if pd.isna(value) else _label_text(value) for value in values]


def _label_order(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


def encode_labels(labels: Sequence[str], where: str) -> tuple[IntArray, tuple[str, ...]]:
    """Re-code labels to 0..K-1, in numeric order where they are numbers, else alphabetically.

    Raises:
        ValueError: there is only one class, or so many that they cannot be classes.
    """
    classes = sorted(set(labels), key=_label_order)
    if len(classes) < 2:
        raise ValueError(f"{where}: only one class ({shown(classes)}); at least two are needed")
    if len(classes) > max(2, len(labels) // 2):
        raise ValueError(
            f"{where}: the target has {len(classes)} distinct values in {len(labels)} rows "
            f"({shown(classes)}): not a class label"
        )
    codes = {label: code for code, label in enumerate(classes)}
    return np.array([codes[label] for label in labels], dtype=np.int64), tuple(classes)


def _target(frame: pd.DataFrame, position: int, rules: TableRules, where: str) -> pd.DataFrame:
    """Apply the rule for rows without a label."""
    absent = frame.iloc[:, position].isna()
    if not absent.any():
        return frame
    if rules.missing_target == "drop":
        return frame.loc[~absent]
    if rules.missing_target == "refuse":
        raise ValueError(
            f"{where}: {int(absent.sum())} rows have no {rules.target!r}; "
            "allowed: missing_target: drop, or class, in the catalog entry"
        )
    return frame


def _categories(column: pd.Series, name: str, where: str) -> tuple[FloatArray, list[str]]:
    """One-hot encode a column: two values give one column, a missing one NaN in all."""
    absent = column.isna().to_numpy()
    text = np.array([_label_text(value) for value in column], dtype=object)
    values = sorted(set(text[~absent]), key=_label_order)
    kept = values[1:] if len(values) == 2 else values
    columns = np.array([text == value for value in kept], dtype=np.float64).reshape(len(kept), -1)
    columns[:, absent] = np.nan
    return columns.T, [f"{name}={value}" for value in kept]


def _as_numbers(column: pd.Series, name: str, where: str) -> tuple[FloatArray, list[str]]:
    text = pd.Series(column.astype("object"))
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = text[numbers.isna() & text.notna()]
    if len(wrong):
        raise ValueError(f"{where}: column {name!r} holds {str(wrong.iloc[0])!r}, not a number")
    return numbers.to_numpy(dtype=np.float64).reshape(-1, 1), [name]


def _refuse(column: pd.Series, name: str, where: str) -> tuple[FloatArray, list[str]]:
    try:
        _as_numbers(column, name, where)
    except ValueError as error:
        raise ValueError(
            f"{error}; allowed: ignore the column, or categorical: one-hot, in the catalog entry"
        ) from None
    raise ValueError(
        f"{where}: column {name!r} is declared categorical; allowed: ignore the column, or "
        "categorical: one-hot or numeric, in the catalog entry"
    )


_ENCODERS = {"refuse": _refuse, "one-hot": _categories, "numeric": _as_numbers}


def _features(
    frame: pd.DataFrame, columns: Sequence[str], categorical: str, where: str
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return the feature columns as numbers, [N, D], and their names."""
    kinds = {dtype: pd.api.types.is_numeric_dtype(dtype) for dtype in set(frame.dtypes)}
    numeric = [kinds[dtype] for dtype in frame.dtypes]
    if all(numeric):
        return frame.to_numpy(dtype=np.float64, na_value=np.nan), tuple(columns)
    blocks, names = [], []
    for position, name in enumerate(columns):
        column = frame.iloc[:, position]
        if numeric[position] or column.isna().all():
            values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
            blocks.append(values.reshape(-1, 1))
            names.append(name)
            continue
        block, block_names = _ENCODERS[categorical](column, name, where)
        blocks.append(block)
        names.extend(block_names)
    return np.hstack(blocks), tuple(names)


def table_to_raw(frame: pd.DataFrame, rules: TableRules, where: str) -> RawData:
    """Turn a table into arrays.

    Args:
        frame: one row per example; missing values as pandas marks them.
        where: what to name in errors.

    Raises:
        ValueError: a column is missing, occurs twice, or holds what the rules do not allow.
    """
    columns = unique_columns(frame.columns, where)
    position = find_column(rules.target, columns, where)
    dropped = {position, *(find_column(name, columns, where) for name in rules.ignore)}
    kept = [i for i in range(len(columns)) if i not in dropped]
    if not kept:
        raise ValueError(f"{where}: no feature columns beside the target {rules.target!r}")
    if frame.empty:
        raise ValueError(f"{where}: no rows")
    frame = _target(frame, position, rules, where)
    y, classes = encode_labels(label_texts(frame.iloc[:, position]), where)
    x, names = _features(frame.iloc[:, kept], [columns[i] for i in kept], rules.categorical, where)
    check_finite(x, names, where)
    return RawData(x=x, y=y, classes=classes, features=names)


def check_finite(x: FloatArray, names: Sequence[str], where: str) -> None:
    """Raise ValueError if a feature is infinite; missing values are allowed."""
    bad = np.isinf(x).any(axis=0)
    if bad.any():
        first = names[int(np.argmax(bad))] if names else int(np.argmax(bad))
        raise ValueError(f"{where}: column {first!r} has infinite values")
