"""What each column of a table holds: its kind, what is missing, whether it names the rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.datasets.audit import numbers_rows
from sweep.datasets.table import label_texts, not_numeric
from sweep.datasets.values import ID_ROWS, ID_SHARE, FloatArray

# Texts that stand for no value where all others of a column are numbers.
NO_VALUE = ("-", "--", ".", "..", "*", "unknown", "missing", "not available", "nd", "n.d.")
_CODES = (-1e3 + 1, -1e4 + 1, -1e5 + 1, 1e3 - 1, 1e4 - 1, 1e5 - 1)  # -999, 9999 and the like
_ID_NAME = re.compile(
    r"(?i:(?:^|[\W_])(?:id|uuid|guid|index|idx|key|nr|no|rownames?)$|^id[\W_])|[a-z]I[dD]$"
)
_COMMA_NUMBER = re.compile(r"[+-]?\d+(?:,\d+)?")


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        kind: number, integer, yes/no, text or empty.
        missing: rows without a value.
        different: how many values there are.
        example: the first value.
        naming: why it seems to name the rows; empty if it does not.
        no_value: its texts that stand for no value, all others being numbers.
        stray: rows of the texts among numbers, which are most of its values.
        code: a number that often stands for no value, if it is there more than once.
    """

    name: str
    kind: str
    missing: int
    different: int
    example: str
    naming: str = ""
    no_value: tuple[str, ...] = ()
    stray: tuple[int, ...] = ()
    code: float | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is to be one-hot encoded."""
        return self.kind == "text"

    @property
    def is_constant(self) -> bool:
        """Whether all its known values are the same."""
        return self.different <= 1


def column_of(values: pd.Series, name: str) -> Column:
    """Describe one column.

    Args:
        values: as `read_csv` leaves them, missing ones as pandas marks them.
    """
    known = values.dropna()
    missing, different = len(values) - len(known), known.nunique()
    if known.empty:
        return Column(name, "empty", missing, 0, "")
    example = label_texts(known.iloc[:1])[0]
    if values.dtype == bool:
        return Column(name, "yes/no", missing, different, example)
    if pd.api.types.is_numeric_dtype(values.dtype):
        return _number_column(values, Column(name, "number", missing, different, example))
    return _text_column(known, Column(name, "text", missing, different, example))


def _number_column(values: pd.Series, plain: Column) -> Column:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    known = numbers[~np.isnan(numbers)]
    whole = bool(np.all(np.isfinite(known) & (known == np.round(known))))
    codes = [code for code in _CODES if whole and (known == code).sum() > 1]
    edge = [code for code in codes if code in (known.min(), known.max())]
    return Column(
        *(plain.name, "integer" if whole else "number", plain.missing, plain.different),
        plain.example,
        naming=_naming_numbers(numbers, plain) if whole else "",
        code=edge[0] if edge else None,
    )


def _naming_numbers(numbers: FloatArray, of: Column) -> str:
    """Why whole numbers seem to name the rows: they count them, or the column's name says so."""
    ranked = np.sort(np.where(np.isnan(numbers), np.inf, numbers)).reshape(-1, 1)
    if numbers_rows(ranked)[0]:
        return f"{of.different} whole numbers in {len(numbers)} rows, with few left out"
    if _names_rows(of.different, len(numbers)) and _ID_NAME.search(of.name):
        return f"{of.different} whole numbers in {len(numbers)} rows, and its name"
    return ""


def _text_column(known: pd.Series, plain: Column) -> Column:
    texts = known.astype(str).str.strip()
    strange = texts[pd.to_numeric(texts, errors="coerce").isna()]
    others = len(texts) - len(strange)
    marks = tuple(sorted(set(strange))) if others else ()
    usual = all(mark.casefold() in NO_VALUE for mark in marks)
    naming = ""
    if _names_rows(plain.different, len(known)):
        naming = f"{plain.different} different texts in {len(known)} rows"
    return Column(
        *(plain.name, "text", plain.missing, plain.different, plain.example, naming),
        no_value=marks if usual else (),
        stray=() if usual or others < len(strange) else tuple(map(int, strange.index)),
    )


def _names_rows(different: int, rows: int) -> bool:
    return rows > ID_ROWS and different >= ID_SHARE * rows


def has_decimal_commas(frame: pd.DataFrame) -> bool:
    """Return whether a column is text only because a comma stands before its fractions."""
    for position in not_numeric(frame):
        texts = frame.iloc[:, position].dropna().astype(str).str.strip()
        if texts.str.fullmatch(_COMMA_NUMBER).all() and texts.str.contains(",").any():
            return True
    return False
