"""Chunks of record rows -> trials, attacks at radii, and numbered values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from analysis.chunks import TYPES, Chunk, Numbering
from sweep.results.schema import RECORD_COLUMNS, SPLITS

CELL = ("attack", "attack_norm", "attack_grid_radius")
VALUE_COLUMNS = ("split", *CELL, "attack_radius", "accuracy", "num_samples")
TRIAL_COLUMNS = tuple(c for c in RECORD_COLUMNS if c not in VALUE_COLUMNS)
IDENTITY = ("trial_id", "pack_id", "status", "schema_version")
_VALUE_TYPES: dict[str, pl.DataType] = {
    "recording": pl.Int32(),
    "place": pl.Int32(),
    "attack_radius": pl.Float64(),
    "accuracy": pl.Float64(),
    "num_samples": pl.Int32(),
    "is_test": pl.Boolean(),
}

Columns = dict[str, list[pa.Array]]


@dataclass(frozen=True)
class Gathered:
    """What record files hold.

    Attributes:
        recordings: one row per recording of a trial; one that was run twice has two.
        places: the attacks and radii that occur.
        values: `recording, place` (row numbers of the above), `attack_radius, accuracy,
            num_samples, is_test`. Rows of strong attacks whose trial has no record are numbered
            beyond the recordings.
    """

    recordings: pl.DataFrame
    places: pl.DataFrame
    values: pl.DataFrame


def gather(chunks: Iterable[Chunk], strong: Iterable[Chunk] = ()) -> Gathered:
    """Collect the rows of records, and those of strong attacks on the same trials.

    Raises:
        ValueError: an unknown split, or a column of another type than the schema's.
    """
    trials, places = Numbering(IDENTITY), Numbering(CELL)
    recordings: Columns = {}
    values: Columns = {}
    for chunk in chunks:
        numbers, new = trials.number(chunk)
        _append(recordings, {name: chunk.array(name, new) for name in TRIAL_COLUMNS})
        _append(values, _values(chunk, numbers, places))
    for chunk in strong:
        _append(values, _values(chunk, trials.number(chunk)[0], places))
    trial_types = {name: TYPES[RECORD_COLUMNS[name][0]] for name in TRIAL_COLUMNS}
    return Gathered(_frame(recordings, trial_types), places.frame, _frame(values, _VALUE_TYPES))


def _append(columns: Columns, more: Mapping[str, Any]) -> None:
    for name, values in more.items():
        columns.setdefault(name, []).append(values)


def _values(
    chunk: Chunk, numbers: npt.NDArray[np.int32], places: Numbering
) -> Mapping[str, pa.Array]:
    return {
        "recording": pa.array(numbers),
        "place": pa.array(places.number(chunk)[0]),
        "attack_radius": chunk.array("attack_radius"),
        "accuracy": chunk.array("accuracy"),
        "num_samples": chunk.array("num_samples").cast(pa.int32()),
        "is_test": pa.array(_is_test(chunk)),
    }


def _is_test(chunk: Chunk) -> npt.NDArray[np.bool_]:
    codes, values = chunk.codes("split")
    unknown = [str(value) for i, value in enumerate(values) if value not in SPLITS and i in codes]
    if unknown:
        raise ValueError(f"unknown split {min(unknown)!r}; allowed: {', '.join(SPLITS)}")
    return np.array([value == "test" for value in values])[codes]


def _frame(columns: Columns, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    if not columns:
        return pl.DataFrame(schema=types)
    return pl.DataFrame(
        {
            name: pl.Series(name, pa.chunked_array(columns[name]), dtype).rechunk()
            for name, dtype in types.items()
        }
    )
