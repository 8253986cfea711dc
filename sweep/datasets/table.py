"""From a table of named columns to arrays: target, ignored columns, categories, missing values."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sweep.datasets.values import ID_ROWS, ID_SHARE, FloatArray, IntArray, OneHot, RawData

_SHOWN = 12  # names listed in an error before "..."


@dataclass(frozen=True)
class TableRules:
    """How to read a table; the fields are those of a catalog entry, which says what they mean."""

    target: str
    ignore: tuple[str, ...] = ()
    categorical: str = "refuse"
    missing_target: str = "refuse"
    categories: tuple[str, ...] = ()


class RowError(ValueError):
    """A row of a table holds what is not allowed.

    Args:
        where: the file, or what else the table is.
        row: its position among the rows, from 0.
        problem: what is wrong, and what is allowed.
    """

    def __init__(self, where: str, row: int, problem: str) -> None:
        super().__init__(f"{where}: row {row + 1}: {problem}")
        self.row = row
        self.problem = problem


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
        close = difflib.get_close_matches(wanted, columns, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ValueError(f"{where}: no column {wanted!r}{hint}; columns: {shown(columns)}")
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
    absent = frame.iloc[:, position].isna().to_numpy()
    if not absent.any() or rules.missing_target == "class":
        return frame
    if rules.missing_target == "drop":
        return frame.loc[~absent]
    raise RowError(
        where,
        int(np.argmax(absent)),
        f"{int(absent.sum())} rows have no {rules.target!r}; "
        "allowed: missing_target: drop, or class, in the catalog entry",
    )


@dataclass(frozen=True)
class _Encoded:
    """The inputs that one column becomes.

    Args:
        block: [N, inputs] with NaN where missing.
        names: of the inputs.
        values: the categories, if it is one-hot encoded.
    """

    block: FloatArray
    names: list[str]
    values: tuple[str, ...] = ()


_Encoder = Callable[[pd.Series, str, str], _Encoded]


def _plain(column: pd.Series, name: str, where: str) -> _Encoded:
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return _Encoded(values.reshape(-1, 1), [name])


def _categories(column: pd.Series, name: str, where: str) -> _Encoded:
    """One-hot encode a column: two values give one column, a missing one NaN in all."""
    absent = column.isna().to_numpy()
    text = np.array([_label_text(value) for value in column], dtype=object)
    values = sorted(set(text[~absent]), key=_label_order)
    if len(values) > ID_ROWS and len(values) >= ID_SHARE * (len(text) - absent.sum()):
        raise ValueError(
            f"{where}: column {name!r} has {len(values)} different texts in {len(text)} rows "
            f"({shown(values[:3])}, ...): these name the rows and are no categories; "
            "allowed: ignore the column in the catalog entry"
        )
    kept = values[1:] if len(values) == 2 else values
    columns = np.array([text == value for value in kept], dtype=np.float64).reshape(len(kept), -1)
    columns[:, absent] = np.nan
    return _Encoded(columns.T, [f"{name}={value}" for value in kept], tuple(values))


def _as_numbers(column: pd.Series, name: str, where: str) -> _Encoded:
    text = pd.Series(column.astype("object"))
    numbers = pd.to_numeric(text, errors="coerce")
    wrong = (numbers.isna() & text.notna()).to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        problem = f"column {name!r} holds {str(text.iloc[row])!r}, not a number"
        raise RowError(where, int(column.index[row]), problem)
    return _Encoded(numbers.to_numpy(dtype=np.float64).reshape(-1, 1), [name])


def _refuse(column: pd.Series, name: str, where: str) -> _Encoded:
    try:
        _as_numbers(column, name, where)
    except RowError as error:
        raise RowError(
            where,
            error.row,
            f"{error.problem}; allowed: ignore the column, or categorical: one-hot, in the "
            "catalog entry, which `robust-sweep data check FILE` writes",
        ) from None
    raise ValueError(
        f"{where}: column {name!r} is declared categorical; allowed: ignore the column, or "
        "categorical: one-hot or numeric, in the catalog entry"
    )


_ENCODERS: dict[str, _Encoder] = {
    "refuse": _refuse,
    "one-hot": _categories,
    "numeric": _as_numbers,
}


def _encoder(column: pd.Series, name: str, numeric: bool, rules: TableRules) -> _Encoder:
    """Return what turns a column into inputs; one without any value is a number everywhere."""
    if column.isna().all():
        return _plain
    if name in rules.categories:
        return _categories
    return _plain if numeric else _ENCODERS[rules.categorical]


def not_numeric(frame: pd.DataFrame) -> frozenset[int]:
    """Return the positions of the columns that hold no numbers; of 100,000 columns in no time."""
    kinds = {dtype: pd.api.types.is_numeric_dtype(dtype) for dtype in set(frame.dtypes)}
    return frozenset(i for i, dtype in enumerate(frame.dtypes) if not kinds[dtype])


def _features(
    frame: pd.DataFrame, columns: Sequence[str], rules: TableRules, where: str
) -> tuple[FloatArray, tuple[str, ...], tuple[OneHot, ...]]:
    """Return the feature columns as numbers, [N, D], their names, and which are one-hot."""
    other = not_numeric(frame)
    if not other and not rules.categories:
        return frame.to_numpy(dtype=np.float64, na_value=np.nan), tuple(columns), ()
    blocks: list[FloatArray] = []
    names: list[str] = []
    groups: list[OneHot] = []
    for position, name in enumerate(columns):
        column = frame.iloc[:, position]
        encoded = _encoder(column, name, position not in other, rules)(column, name, where)
        if encoded.values:
            inputs = tuple(range(len(names), len(names) + len(encoded.names)))
            groups.append(OneHot(name, encoded.values, inputs))
        blocks.append(encoded.block)
        names.extend(encoded.names)
    return np.hstack(blocks), tuple(names), tuple(groups)


def table_to_raw(frame: pd.DataFrame, rules: TableRules, where: str) -> RawData:
    """Turn a table into arrays.

    Args:
        frame: one row per example; missing values as pandas marks them.
        where: what to name in errors.

    Raises:
        RowError: a row holds what the rules do not allow.
        ValueError: a column is missing, occurs twice, or holds what the rules do not allow.
    """
    frame = frame.reset_index(drop=True)  # rows are named by the index, some may be dropped
    columns = unique_columns(frame.columns, where)
    position = find_column(rules.target, columns, where)
    dropped = {position, *(find_column(name, columns, where) for name in rules.ignore)}
    kept = [i for i in range(len(columns)) if i not in dropped]
    if not kept:
        raise ValueError(f"{where}: no feature columns beside the target {rules.target!r}")
    if frame.empty:
        raise ValueError(f"{where}: no rows")
    listed = [columns[find_column(name, columns, where)] for name in rules.categories]
    rules = replace(rules, categories=tuple(listed))
    frame = _target(frame, position, rules, where)
    y, classes = encode_labels(label_texts(frame.iloc[:, position]), where)
    x, names, groups = _features(frame.iloc[:, kept], [columns[i] for i in kept], rules, where)
    check_finite(x, names, where, frame.index)
    return RawData(x=x, y=y, classes=classes, features=names, groups=groups)


def check_finite(
    x: FloatArray, names: Sequence[str], where: str, rows: Sequence[int] | pd.Index | None = None
) -> None:
    """Raise RowError if a feature is infinite; missing values are allowed.

    Args:
        rows: the positions of the rows in the table, where some of those were left out.
    """
    bad = np.isinf(x)
    if bad.any():
        column = int(np.argmax(bad.any(axis=0)))
        name = names[column] if names else column
        row = int(np.argmax(bad[:, column]))
        problem = f"column {name!r} has infinite values"
        raise RowError(where, row if rows is None else int(rows[row]), problem)
