"""Rows of a data frame as raw features: columns by name, categories as they were in training.

Works with whatever has `columns` and gives a column by its name: pandas, polars.

Legend: N rows, D input features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Categories = tuple[tuple[str, tuple[str, ...]], ...]
_SHOWN = 12  # names in a message
_NOTHING = ("NAType", "NaTType")  # what pandas has for a missing value beside None and NaN


class Frame(Protocol):
    """A table of named columns."""

    @property
    def columns(self) -> Any:
        """The names."""

    def __getitem__(self, name: Any, /) -> Any:
        """A column, [N]."""


def features_of(frame: Frame, names: Sequence[str], categories: Categories = ()) -> Floats:
    """Return the features of a frame's rows, in the order of training; NaN where missing.

    Args:
        frame: N rows; further columns are left out.
        names: of the D features. `colour=red` is 1 where a column `colour` holds red, unless the
            frame has a column of that name.
        categories: the columns that were made such features of, each with all its values.

    Returns:
        [N, D].

    Raises:
        ValueError: a column is not there, or holds no number, or a category of none of the names.
    """
    columns = {str(column): column for column in frame.columns}
    known = dict(categories)
    found = []
    for name in names:
        category, _, value = name.partition("=")
        if name in columns:
            found.append(numbers(frame[columns[name]], name))
        elif value and category in columns:
            texts = _texts(frame[columns[category]], category, known)
            found.append(np.array([np.nan if t is None else float(t == value) for t in texts]))
        else:
            lacking = category if category in known else name
            raise ValueError(f"no column {lacking!r}; columns: {_shown(list(columns))}")
    return np.column_stack(found)


def numbers(column: Any, name: str) -> Floats:
    """Return a column as numbers, [N].

    Raises:
        ValueError: a value is no number.
    """
    values = np.asarray(column)
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    found = []
    for value in values.tolist():
        try:
            found.append(np.nan if _missing(value) else float(value))
        except (TypeError, ValueError):
            raise ValueError(f"column {name!r} holds {value!r}, not a number") from None
    return np.array(found, dtype=np.float64)


def text_of(value: Any) -> str:
    """Return a category or a label as text: 1 and 1.0 are the same."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value).strip()


def _texts(column: Any, name: str, known: Mapping[str, Sequence[str]]) -> list[str | None]:
    """The categories of a column; None where missing."""
    values = np.asarray(column).tolist()
    texts = [None if _missing(value) else text_of(value) for value in values]
    foreign = [t for t in texts if t is not None and name in known and t not in known[name]]
    if foreign:
        raise ValueError(
            f"column {name!r} holds {foreign[0]!r}, which no row had in training; known: "
            f"{_shown(known[name])}"
        )
    return texts


def _missing(value: Any) -> bool:
    is_nan = isinstance(value, float) and value != value
    return value is None or is_nan or type(value).__name__ in _NOTHING


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
