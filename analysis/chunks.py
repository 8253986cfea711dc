"""Record files -> chunks of rows, read cheaply.

A pack's file repeats most values for all its rows. Columns whose statistics in the file prove that
they hold one value are not read, strings are kept as codes, and rows are told apart by code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.sound import check, named
from sweep.results.schema import RECORD_COLUMNS

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
    "options": None,
}
TYPES: dict[str, pl.DataType] = {
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "string": pl.String(),
    "bool": pl.Boolean(),
}
ARROW_TYPES: dict[str, pa.DataType] = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
}
_STRINGS = [name for name, (kind, _) in RECORD_COLUMNS.items() if kind == "string"]
_ROWS = 2**18  # per chunk: a file of all records must not be in memory at once

ANY = object()  # of a column that was not proven to hold one value

Codes = npt.NDArray[np.int32] | npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chunk:
    """Rows of one file.

    Attributes:
        size: the number of rows.
        columns: what was read.
        constants: columns that were not: the value of all their rows.
    """

    size: int
    columns: Mapping[str, pa.Array]
    constants: Mapping[str, object]

    def codes(self, name: str) -> tuple[Codes, list[object]]:
        """Return each row's position among a column's values, and those values."""
        if name in self.constants:
            return np.zeros(self.size, dtype=np.int32), [self.constants[name]]
        column = self.columns[name]
        coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        indices, values = coded.indices, coded.dictionary.to_pylist()
        if indices.null_count:
            indices, values = indices.fill_null(len(values)), [*values, None]
        return indices.to_numpy(), values

    def array(self, name: str, at: Codes | None = None) -> pa.Array:
        """Return a column's values in the schema's type, of all rows or of some.

        Raises:
            ValueError: they are of another type.
        """
        dtype = ARROW_TYPES[RECORD_COLUMNS[name][0]]
        if name in self.constants:
            size = self.size if at is None else len(at)
            return pa.repeat(pa.scalar(self.constants[name], dtype), size)
        column = self.columns[name] if at is None else self.columns[name].take(pa.array(at))
        try:
            return column.cast(dtype)
        except pa.ArrowException as error:
            raise ValueError(f"column {name} of the records is no {dtype}: {error}") from error

    def where(self, datasets: Collection[str]) -> Chunk | None:
        """Return the rows of some data sets, None if there are none."""
        codes, values = self.codes("dataset")
        kept = np.isin(codes, [i for i, value in enumerate(values) if value in datasets])
        if kept.all():
            return self
        mask = pa.array(kept)
        columns = {name: column.filter(mask) for name, column in self.columns.items()}
        return Chunk(int(kept.sum()), columns, self.constants) if kept.any() else None


class Numbering:
    """Numbers the distinct values of some columns, across chunks, in order of appearance."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._numbers: dict[tuple[object, ...], int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """Every combination, in the order of its number."""
        types = {name: TYPES[RECORD_COLUMNS[name][0]] for name in self.names}
        return pl.DataFrame(list(self._numbers), schema=types, orient="row")

    def number(self, chunk: Chunk) -> tuple[npt.NDArray[np.int32], Codes]:
        """Return the number of each row, and the first rows of combinations new to it."""
        codes, values = zip(*(chunk.codes(name) for name in self.names), strict=True)
        combined, limit = np.zeros(chunk.size, dtype=np.int64), 1
        for code, known in zip(codes, values, strict=True):
            if len(known) > 1:
                combined = combined * len(known) + code if limit > 1 else code
                limit *= len(known)
        first, position = _distinct(combined, limit)
        columns = [
            [known[code] for code in found[first].tolist()]
            for found, known in zip(codes, values, strict=True)
        ]
        numbers, new = np.empty(len(first), dtype=np.int32), []
        for i, key in enumerate(zip(*columns, strict=True)):
            if key not in self._numbers:
                self._numbers[key] = len(self._numbers)
                new.append(first[i])
            numbers[i] = self._numbers[key]
        return numbers[position], np.array(new, dtype=np.int64)


def _distinct(codes: Codes, limit: int) -> tuple[Codes, Codes]:
    """Return where each code that occurs does so first, and the position of each row's code."""
    if limit > 4 * len(codes):
        _, first, position = np.unique(codes, return_index=True, return_inverse=True)
        return first, position
    occurs = np.full(limit, -1, dtype=np.int64)
    occurs[codes[::-1]] = np.arange(len(codes))[::-1]
    present = np.flatnonzero(occurs >= 0)
    places = np.empty(limit, dtype=np.int64)
    places[present] = np.arange(len(present))
    return occurs[present], places[codes]


def read(files: Sequence[Path], datasets: Collection[str] | None = None) -> Iterator[Chunk]:
    """Yield the rows of record files, of some data sets or all.

    A chunk is read in a thread while the one before is used.

    Raises:
        ValueError: a file cannot be read, or lacks a column that is not optional.
    """
    chunks = (chunk for file in files for chunk in _file(file, datasets))
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = reader.submit(next, chunks, None)
            yield chunk


def of_frame(frame: pd.DataFrame) -> Iterator[Chunk]:
    """Yield the rows of a frame."""
    known = frame[[name for name in RECORD_COLUMNS if name in frame.columns]]
    table = pa.Table.from_pandas(known, preserve_index=False)
    defaults = _absent("the frame", table.column_names)
    for batch in table.to_batches():
        yield _chunk(batch, defaults)


def _chunk(batch: pa.RecordBatch, constants: Mapping[str, object]) -> Chunk:
    return Chunk(batch.num_rows, dict(zip(batch.schema.names, batch, strict=True)), constants)


def _file(path: Path, datasets: Collection[str] | None) -> Iterator[Chunk]:
    check(path)
    with named(path):
        metadata = pq.read_metadata(path)
        names = metadata.schema.names
        strings = [name for name in _STRINGS if name in names]
        file = pq.ParquetFile(
            path, metadata=metadata, read_dictionary=strings, page_checksum_verification=True
        )
    defaults = _absent(str(path), names)
    present = [name for name in RECORD_COLUMNS if name in names]
    for group in range(metadata.num_row_groups):
        constants = defaults | _constants(metadata.row_group(group), present)
        if datasets is not None and constants.get("dataset", ANY) not in (ANY, *datasets):
            continue
        wanted = [name for name in present if name not in constants]
        batches = file.iter_batches(_ROWS, [group], wanted, use_threads=False)
        while True:
            with named(path):
                batch = next(batches, None)
            if batch is None:
                break
            chunk = _chunk(batch, constants)
            kept = chunk if datasets is None else chunk.where(datasets)
            if kept is not None and kept.size:
                yield kept


def _absent(source: str, names: Collection[str]) -> dict[str, object]:
    missing = [name for name in RECORD_COLUMNS if name not in names and name not in OPTIONAL]
    if missing:
        raise ValueError(f"{source} is no record file: it lacks {', '.join(missing)}")
    return {name: default for name, default in OPTIONAL.items() if name not in names}


def _constants(group: Any, names: Sequence[str]) -> dict[str, object]:
    """Return the columns of a row group that its statistics prove to hold one value."""
    found: dict[str, object] = {}
    for index in range(group.num_columns):
        column = group.column(index)
        name = column.path_in_schema
        # Statistics leave NaN out, so they say nothing about all of a column of floats.
        if name not in names or RECORD_COLUMNS[name][0] == "float64":
            continue
        statistics = column.statistics
        if statistics is None or not statistics.has_null_count:
            continue
        if statistics.null_count == group.num_rows:
            found[name] = None
        elif statistics.has_min_max and statistics.null_count == 0:
            value = statistics.min
            if value == statistics.max and not isinstance(value, bytes):
                found[name] = value
    return found
