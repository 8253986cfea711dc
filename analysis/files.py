"""Files of records and curves -> lazy rows in the schema's columns and types."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sweep.results import checksum
from sweep.results.schema import CURVE_COLUMNS, RECORD_COLUMNS, STAND_INS

Types = Mapping[str, pl.DataType | type[pl.DataType]]

_TYPES: Types = {
    "int32": pl.Int32,
    "int64": pl.Int64,
    "float64": pl.Float64,
    "string": pl.String,
    "bool": pl.Boolean,
}
RECORD_TYPES: Types = {name: _TYPES[kind] for name, (kind, _) in RECORD_COLUMNS.items()}
CURVE_TYPES: Types = {name: _TYPES[kind] for name, (kind, _) in CURVE_COLUMNS.items()}
_ADVICE = "move it out of this folder: the command of its sweep then trains again what it held"


def record_rows(files: Sequence[Path], datasets: Collection[str] | None = None) -> pl.LazyFrame:
    """Return the rows of record files, of some data sets or all.

    Raises:
        ValueError: a file cannot be read, or lacks a column that has no stand-in.
    """
    rows = _scan(files, RECORD_TYPES, "record")
    return rows if datasets is None else rows.filter(pl.col("dataset").is_in(list(datasets)))


def curve_rows(files: Sequence[Path]) -> pl.LazyFrame:
    """Return the rows of curve files; no file, no rows.

    Raises:
        ValueError: a file cannot be read, or lacks a column.
    """
    return _scan(files, CURVE_TYPES, "curve")


def frame_rows(frame: pd.DataFrame) -> pl.LazyFrame:
    """Return the rows of a frame of records.

    Raises:
        ValueError: it lacks a column that has no stand-in.
    """
    known = pl.from_pandas(frame[[name for name in RECORD_TYPES if name in frame.columns]])
    _check_columns("the frame", known.columns, RECORD_TYPES, "record")
    return _typed(known.lazy(), known.schema, RECORD_TYPES)


def collected(rows: pl.LazyFrame) -> pl.DataFrame:
    """Return rows in memory, read in batches.

    Raises:
        ValueError: a column holds values that are not of the schema's type.
    """
    try:
        return rows.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"the records cannot be read: {_first_line(error)}") from error


def is_curve_file(file: Path) -> bool:
    """Return whether a file holds the table of training-time measurements.

    Raises:
        ValueError: the file cannot be read as Parquet.
    """
    check(file)
    with named(file):
        return "quantity" in _schema(file)


def check(path: Path) -> None:
    """Compare a file's checksum with its bytes; one without a checksum is read to its end.

    Raises:
        ValueError: the file is damaged, or is not there.
    """
    with named(path):
        reason = checksum.damage(path)
    if reason is not None:
        raise ValueError(f"{path} cannot be read: it is damaged ({reason}); {_ADVICE}")
    if not checksum.covered(path):  # polars, later, would not name the file that stops it
        with named(path):
            pq.read_table(path, page_checksum_verification=True, partitioning=None)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file at which a reader fails.

    Raises:
        ValueError: it failed; one line with the file and what to do.
    """
    try:
        yield
    except (OSError, ValueError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        damaged = not isinstance(error, OSError) or error.errno is None
        advice = f"; {_ADVICE}" if damaged else ""  # else the operating system says why
        raise ValueError(f"{path} cannot be read: {_first_line(error)}{advice}") from error


def _scan(files: Sequence[Path], types: Types, kind: str) -> pl.LazyFrame:
    def columns(file: Path) -> tuple[tuple[str, pl.DataType], ...]:
        check(file)
        with named(file):
            found = _schema(file)
        _check_columns(str(file), found, types, kind)
        return tuple(found.items())

    parts = [pl.LazyFrame(schema=types)]
    for found, alike in groupby(files, columns):  # one scan cannot cast what differs by file
        parts.append(_typed(_parquet(list(alike)), dict(found), types))
    return pl.concat(parts)


def _parquet(files: Path | list[Path]) -> pl.LazyFrame:
    return pl.scan_parquet(files, glob=False, hive_partitioning=False)


def _schema(file: Path) -> pl.Schema:
    return _parquet(file).collect_schema()


def _check_columns(source: str, found: Collection[str], types: Types, kind: str) -> None:
    missing = [name for name in types if name not in found and name not in STAND_INS]
    if missing:
        raise ValueError(f"{source} is no {kind} file: it lacks {', '.join(missing)}")


def _typed(rows: pl.LazyFrame, found: Mapping[str, pl.DataType], types: Types) -> pl.LazyFrame:
    return rows.select(
        _cast(name, found[name], dtype)
        if name in found
        else pl.lit(STAND_INS[name], dtype=dtype).alias(name)
        for name, dtype in types.items()
    )


def _cast(name: str, found: pl.DataType, dtype: pl.DataType | type[pl.DataType]) -> pl.Expr:
    """Return a column in another type; a fraction where a whole number belongs fails the cast."""
    column = pl.col(name)
    if found.is_float() and dtype in (pl.Int32, pl.Int64):
        column = (
            pl.when((column == column.round()) | column.is_null())
            .then(column)
            .otherwise(
                float("inf")  # which no integer type holds; polars itself would cut fractions off
            )
        )
    return column.cast(dtype).alias(name)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
