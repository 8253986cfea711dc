"""Reading a user's CSV: its separator, its lines, and one clear line for what is wrong in one.

Every row of the file is counted before it is read, so that a line with too few or too many
values is named rather than filled up, and so that any row can be named by its line.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sweep.datasets.table import RowError, not_numeric, unique_columns
from sweep.errors import unreadable

MISSING_MARKS = ("?",)  # beside pandas' own: empty, NA, NaN, null and the like
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
_NO_TEXT = {
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"PK\x03\x04": "a zip archive, as spreadsheets are",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old",
    b"\x1f\x8b": "compressed",
    b"PAR1": "Parquet",
}


@dataclass(frozen=True)
class CsvRules:
    """How to read a CSV file; the fields are those of a catalog entry.

    Args:
        header: whether the first line holds the column names; else they are V1, V2 ...
        separator: a name of `SEPARATORS`; None takes the comma, or what the first line has.
        decimal: what stands before the fraction of a number.
        missing: texts that mean that there is no value, beside the usual ones.
    """

    header: bool = True
    separator: str | None = None
    decimal: str = "."
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class CsvTable:
    """A CSV file that was read.

    Args:
        frame: its rows.
        lines: the line in which each row starts, from 1.
        separator: a name of `SEPARATORS`.
        rules: by which it was read.
        unit: what `lines` counts.
    """

    path: Path
    frame: pd.DataFrame
    lines: list[int]
    separator: str
    rules: CsvRules
    unit: str = "line"

    def in_line(self, error: RowError) -> ValueError:
        """Return the error with the file's line in place of the row."""
        place = f"{self.unit} {self.lines[error.row]}"
        return ValueError(f"{self.path}: {place}: {error.problem}")


def read_csv(path: Path, rules: CsvRules | None = None) -> CsvTable:
    """Read a CSV file; UTF-8 with or without a byte-order mark, any line ends.

    Raises:
        ValueError: the file is empty, not UTF-8, has lines of different lengths or a column
            name twice.
    """
    rules = rules or CsvRules()
    text = _text(path)
    first = next((line for line in io.StringIO(text) if line.strip()), None)
    if first is None:
        raise ValueError(f"{path}: the file is empty")
    separator = rules.separator or _separator(first)
    names, lines = _lines(path, text, separator)
    columns = [f"V{i + 1}" for i in range(len(names))]
    if rules.header:
        given = [name.strip() or own for name, own in zip(names, columns, strict=True)]
        columns = unique_columns(given, str(path))
    try:
        frame = _frame(text, separator, rules)
    except pd.errors.ParserError as error:
        if "EOF inside string" in str(error):
            raise ValueError(
                f"{path}: line {lines[-1]}: a quote that opens here is not closed"
            ) from None
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    lines = lines[1:] if rules.header else lines
    frame.columns = pd.Index(columns, dtype=object)
    if len(frame) != len(lines):  # of one column, of which an empty text looks like a blank line
        raise ValueError(f"{path}: holds a line with nothing but quotes; leave such lines out")
    return CsvTable(path, _with_numbers(frame), lines, separator, rules)


def _text(path: Path) -> str:
    """The file's text.

    Raises:
        ValueError: it cannot be read, or is not UTF-8 text.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({unreadable(error)})") from None
    for start, kind in _NO_TEXT.items():
        if content.startswith(start):
            raise ValueError(f"{path}: is {kind}; save it as CSV in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}: line {line}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}: line {line}: holds a zero byte; a CSV file is text")
    return text


def _separator(first: str) -> str:
    """The comma if it is in the first line, outside of quotes, else what is most often there."""
    bare = re.sub(r'"[^"]*"', "", first)
    counts = {name: bare.count(mark) for name, mark in SEPARATORS.items()}
    return "comma" if counts["comma"] else max(counts, key=lambda name: counts[name])


def _lines(path: Path, text: str, separator: str) -> tuple[list[str], list[int]]:
    """Return the cells of the first row and the line in which each row starts.

    Raises:
        ValueError: a row has more or fewer cells than the first.
    """
    given = io.StringIO(text, newline="")
    reader = csv.reader(given, delimiter=SEPARATORS[separator], skipinitialspace=True)
    first: list[str] = []
    lines: list[int] = []
    before = 0
    try:
        for row in reader:
            start, before = before + 1, reader.line_num
            if not row or (len(row) == 1 and not row[0].strip()):
                continue  # a blank line is no row
            first = first or row
            if len(row) != len(first):
                raise ValueError(_uneven(path, start, before, len(row), len(first), separator))
            lines.append(start)
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}") from None
    return first, lines


def _uneven(path: Path, start: int, end: int, count: int, expected: int, separator: str) -> str:
    """That a row from one line to another has more or fewer values than the first."""
    open_quote = f"; is a quote not closed before line {end}?" if end > start else ""
    return (
        f"{path}: line {start} has {count} values, the first line has {expected} "
        f"(separator: {separator}){open_quote}"
    )


def _frame(text: str, separator: str, rules: CsvRules) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO(text),
        sep=SEPARATORS[separator],
        decimal=rules.decimal,
        header=0 if rules.header else None,
        skipinitialspace=True,
        low_memory=False,  # a column's type is decided once, not chunk by chunk
        index_col=False,  # never take the first column for row labels
        na_values=[*MISSING_MARKS, *rules.missing],
    )


def _with_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Make numbers of integers that are too long for 64 bits, which pandas leaves as text."""
    for position in not_numeric(frame):
        column = frame.iloc[:, position]
        numbers = pd.to_numeric(column, errors="coerce")
        if numbers.notna().any() and numbers.isna().equals(column.isna()):
            frame.isetitem(position, numbers.to_numpy(dtype="float64"))
    return frame
