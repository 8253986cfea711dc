"""Parquet files -> lazy rows in the schema's columns and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from sweep.schema import CURVE_COLUMNS, RECORD_COLUMNS

# Columns that records made elsewhere may lack, and what stands for them.
OPTIONAL: dict[str, object] = {
    "split_seed": 0,
    "num_features": 0,  # derived from the radii
    "num_classes": 0,
    "pack_size": 0,  # derived: the trials that share a pack id
    "train_seconds": None,
    "evaluation_seconds": None,
    "device": "",
    "leaky": False,
    "simulated": False,
    "flags": "",
    "error": None,
}
_TYPES: dict[str, pl.DataType] = {
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "string": pl.String(),
    "bool": pl.Boolean(),
}
_CASTS = pl.ScanCastOptions(integer_cast="upcast", float_cast="upcast")


def columns_of(file: Path) -> tuple[str, ...]:
    """Return a Parquet file's column names.

    Raises:
        ValueError: the file cannot be read as Parquet.
    """
    try:
        return tuple(str(name) for name in pq.read_schema(file).names)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as Parquet: {error}") from error


def is_curve_file(file: Path) -> bool:
    """Return whether a file holds the table of training-time measurements."""
    return "quantity" in columns_of(file)


def scan_records(files: Sequence[Path]) -> pl.LazyFrame:
    """Return the rows of all record files.

    Raises:
        ValueError: a file lacks a column that is not optional.
    """
    return _scan(files, RECORD_COLUMNS, OPTIONAL)


def scan_curves(files: Sequence[Path]) -> pl.LazyFrame:
    """Return the rows of all curve files; no file, no rows."""
    return _scan(files, CURVE_COLUMNS, {})


def conform(rows: pl.LazyFrame, present: Sequence[str]) -> pl.LazyFrame:
    """Return record rows with every column of the schema, in its type."""
    return rows.select(_column(name, RECORD_COLUMNS, OPTIONAL, present) for name in RECORD_COLUMNS)


def _scan(
    files: Sequence[Path],
    schema: Mapping[str, tuple[str, bool]],
    optional: Mapping[str, object],
) -> pl.LazyFrame:
    if not files:
        return pl.LazyFrame(schema={name: _TYPES[kind] for name, (kind, _) in schema.items()})
    by_columns: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        by_columns.setdefault(columns_of(file), []).append(file)
    parts = []
    for present, group in by_columns.items():
        missing = [name for name in schema if name not in present and name not in optional]
        if missing:
            raise ValueError(f"{group[0]} is no record file: it lacks {', '.join(missing)}")
        scan = pl.scan_parquet(group, extra_columns="ignore", cast_options=_CASTS)
        parts.append(scan.select(_column(name, schema, optional, present) for name in schema))
    return pl.concat(parts)


def _column(
    name: str,
    schema: Mapping[str, tuple[str, bool]],
    optional: Mapping[str, object],
    present: Sequence[str],
) -> pl.Expr:
    dtype = _TYPES[schema[name][0]]
    if name in present:
        return pl.col(name).cast(dtype)
    return pl.lit(optional[name], dtype=dtype).alias(name)
