"""Curve files -> lazy rows in the schema's columns and types; what a Parquet file is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from analysis.chunks import TYPES
from analysis.sound import check, named
from sweep.results import checksum
from sweep.results.schema import CURVE_COLUMNS

_CASTS = pl.ScanCastOptions(integer_cast="upcast", float_cast="upcast")


def columns_of(file: Path) -> tuple[str, ...]:
    """Return a Parquet file's column names.

    Raises:
        ValueError: the file cannot be read as Parquet.
    """
    check(file)
    with named(file):
        return tuple(str(name) for name in pq.read_schema(file).names)


def is_curve_file(file: Path) -> bool:
    """Return whether a file holds the table of training-time measurements."""
    return "quantity" in columns_of(file)


def scan_curves(files: Sequence[Path]) -> pl.LazyFrame:
    """Return the rows of all curve files; no file, no rows.

    Raises:
        ValueError: a file lacks a column.
    """
    types = {name: TYPES[kind] for name, (kind, _) in CURVE_COLUMNS.items()}
    if not files:
        return pl.LazyFrame(schema=types)
    for file in files:
        present = columns_of(file)
        missing = [name for name in types if name not in present]
        if missing:
            raise ValueError(f"{file} is no curve file: it lacks {', '.join(missing)}")
        if not checksum.covered(file):  # polars, later, would not name the file that stops it
            with named(file):
                pq.read_table(file, page_checksum_verification=True, partitioning=None)
    rows = pl.scan_parquet(list(files), extra_columns="ignore", cast_options=_CASTS)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in types.items())
