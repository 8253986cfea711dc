"""From a user's table to its catalog entry: what was understood, and every choice made.

Nothing is written here. The entry that comes out says all choices, so that a sweep reads the file
by it and decides nothing again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from sweep.datasets.audit import Finding, audit, audit_contradictions
from sweep.datasets.catalog import CatalogEntry, catalog
from sweep.datasets.checks import require_usable
from sweep.datasets.columns import Column, column_of, has_decimal_commas
from sweep.datasets.csv_files import CsvRules, CsvTable, read_csv
from sweep.datasets.loading import scaled_inputs
from sweep.datasets.scaling import scalings
from sweep.datasets.splits import split_rows
from sweep.datasets.table import RowError, find_column, shown, unique_columns
from sweep.datasets.table_files import csv_to_raw, parquet_to_raw, read_parquet, rules_of
from sweep.datasets.values import Indices, RawData

_NO_NAME = ("true", "false", "null", "nan", "inf", "yes", "no", "on", "off")  # to YAML or Hydra


@dataclass(frozen=True)
class Asked:
    """What a user says of a table; what he leaves open is told from the table.

    Args:
        name: of the data set; empty: the file's.
        target: the column with the labels; empty: one with a usual name.
        ignore, keep: columns to leave out, and not to leave out, whatever they look like.
        categories: columns to one-hot encode, also where they hold numbers.
        missing_target: refuse, drop, or class.
    """

    name: str = ""
    target: str = ""
    ignore: str = ""
    keep: str = ""
    categories: str = ""
    missing_target: str = "refuse"
    rules: CsvRules = CsvRules()


@dataclass(frozen=True)
class Understanding:
    """A table as a sweep will read it.

    Args:
        columns: all of the file, the target among them.
        left_out: column -> why it is no feature.
        entry: `file` is the path's last part; `root` is for whoever writes it.
    """

    path: Path
    table: CsvTable
    columns: tuple[Column, ...]
    left_out: Mapping[str, str]
    entry: CatalogEntry
    raw: RawData
    indices: Indices
    findings: tuple[Finding, ...]

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that networks see."""
        out = {*self.left_out, self.entry.target}
        return tuple(column for column in self.columns if column.name not in out)


def understand(path: Path, asked: Asked) -> Understanding:
    """Read a table, decide what is open, and read it by the entry that says so.

    Raises:
        ValueError: it cannot be read or used; one line with the file, and the line where it is in
            one.
    """
    table = _table(path, asked.rules)
    names = [str(name) for name in table.frame.columns]
    target = _target(asked.target, names, path)
    table, columns = _with_missing(table, target)
    chosen = {
        key: named(getattr(asked, key), names, path) for key in ("ignore", "keep", "categories")
    }
    left_out = _left_out([c for c in columns if c.name != target], chosen)
    features = [c for c in columns if c.name != target and c.name not in left_out]
    _refuse_stray(features, table, chosen["categories"])
    texts = [c.name for c in features if c.is_text and c.name not in chosen["categories"]]
    entry = CatalogEntry(
        name=asked.name or _name_of(path),
        file=path.name,
        target=target,
        ignore=tuple(left_out),
        header=asked.rules.header,
        separator=table.separator if table.separator != "comma" else asked.rules.separator,
        decimal=table.rules.decimal,
        missing=table.rules.missing,
        categories=(*chosen["categories"], *texts),
        missing_target=asked.missing_target,
    )
    raw = READERS[path.suffix.lower()].arrays(path, entry)
    require_usable(raw, str(path))
    indices = split_rows(raw, entry.name, 0)
    for scaling in scalings(False).values():
        scaled_inputs(raw, scaling, indices, str(path))
    found = (*audit(raw, indices), *audit_contradictions(raw))
    return Understanding(path, table, columns, left_out, entry, raw, indices, found)


def named(text: str, columns: Sequence[str], path: Path) -> tuple[str, ...]:
    """Return the columns that a text names: one, or several with commas between.

    Raises:
        ValueError: there is no such column.
    """
    words = [text] if text in columns else [word.strip() for word in text.split(",")]
    return tuple(columns[find_column(word, columns, str(path))] for word in words if word)


def _name_of(path: Path) -> str:
    """The file's name as a data set's: letters, digits, '-', '_' and '.', a letter first."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.name.split(".")[0]).strip("-.") or "data"
    own = not name[0].isalpha() or name.casefold() in _NO_NAME or name in catalog()
    return f"own-{name}" if own else name


def _target(asked: str, names: Sequence[str], path: Path) -> str:
    if asked:
        return names[find_column(asked, names, str(path))]
    try:
        return rules_of(CatalogEntry(""), names, str(path)).target
    except ValueError:
        raise ValueError(
            f"{path}: which column is the target? Say target=NAME; columns: {shown(names)}"
        ) from None


def _with_missing(table: CsvTable, target: str) -> tuple[CsvTable, tuple[Column, ...]]:
    """Describe the columns, with texts that stand for no value among numbers as missing.

    Raises:
        ValueError: such a text is a label as well.
    """
    columns = _columns(table.frame)
    marks = {mark for c in columns if c.name != target for mark in c.no_value}
    if not marks:
        return table, columns
    both = sorted(marks & set(table.frame[target].astype(str)))
    if both:
        raise ValueError(
            f"{table.path}: {both[0]!r} stands for no value among numbers and is a label of "
            f"{target!r} too; write one of them in another way"
        )
    rules = replace(table.rules, missing=(*table.rules.missing, *sorted(marks)))
    again = _table(table.path, rules)
    return again, _columns(again.frame)


def _columns(frame: pd.DataFrame) -> tuple[Column, ...]:
    return tuple(column_of(frame.iloc[:, i], str(name)) for i, name in enumerate(frame.columns))


def _left_out(columns: Sequence[Column], chosen: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the columns that are no features, and why."""
    found = {}
    for column in columns:
        if column.name in chosen["ignore"]:
            found[column.name] = "as you say"
        elif column.name in chosen["keep"] or column.name in chosen["categories"]:
            continue
        elif column.naming:
            found[column.name] = f"it names the rows ({column.naming})"
        elif column.is_constant:
            found[column.name] = "it has no value" if column.kind == "empty" else "it is constant"
    return found


def _refuse_stray(columns: Sequence[Column], table: CsvTable, categories: Sequence[str]) -> None:
    """Refuse a few texts among numbers, which nobody meant as categories.

    Raises:
        ValueError: a column has them; the line names the first.
    """
    for column in columns:
        if column.name in categories:
            continue
        if column.no_value:  # of Parquet, where a column of texts stays one
            raise ValueError(
                f"{table.path}: column {column.name!r} holds numbers as texts, and "
                f"{column.no_value[0]!r}; write it as numbers with missing values"
            )
        if not column.stray:
            continue
        row = column.stray[0]
        text = str(table.frame[column.name].iloc[row])
        raise table.in_line(
            RowError(
                str(table.path),
                row,
                f"column {column.name!r} holds {text!r}, one of {len(column.stray)} texts among "
                f"numbers; correct it, or say missing={text}, or categories={column.name}",
            )
        )


def _table(path: Path, rules: CsvRules) -> CsvTable:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: allowed are files that end in {', '.join(READERS)}")
    return reader.table(path, rules)


def _read_csv(path: Path, rules: CsvRules) -> CsvTable:
    table = read_csv(path, rules)
    if table.frame.empty:
        raise ValueError(f"{path}: no rows")
    if table.separator == "comma" or not has_decimal_commas(table.frame):
        return table
    return read_csv(path, replace(rules, decimal=","))


def _read_parquet(path: Path, rules: CsvRules) -> CsvTable:
    frame = read_parquet(path)
    frame.columns = pd.Index(unique_columns(frame.columns, str(path)), dtype=object)
    return CsvTable(path, frame, list(range(1, len(frame) + 1)), "comma", rules, unit="row")


@dataclass(frozen=True)
class _Reader:
    table: Callable[[Path, CsvRules], CsvTable]
    arrays: Callable[[Path, CatalogEntry], RawData]


_CSV = _Reader(_read_csv, csv_to_raw)
READERS: Mapping[str, _Reader] = {
    **dict.fromkeys((".csv", ".tsv", ".txt", ".data"), _CSV),
    ".parquet": _Reader(_read_parquet, parquet_to_raw),
}
