"""Record files as other tools write them: every kind gives the same records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from analysis.chunks import OPTIONAL, Chunk, read
from analysis.load import load
from analysis.locate import locate
from tests.analysis.made_records import frame_of, rows_of

Writer = Callable[[pl.DataFrame, Path], object]
CATEGORY = pl.col(pl.String).cast(pl.Categorical)
TYPES = {"batch_size": pl.Int32, "seed": pl.UInt8, "diverged_step": pl.Float64}

WRITERS: dict[str, Writer] = {
    "as one row group": lambda frame, file: frame.write_parquet(file),
    "in many row groups": lambda frame, file: frame.write_parquet(file, row_group_size=3),
    "shuffled": lambda frame, file: frame.sample(fraction=1, shuffle=True, seed=1).write_parquet(
        file
    ),
    "without statistics": lambda frame, file: frame.write_parquet(file, statistics=False),
    "by pandas": lambda frame, file: frame.to_pandas().to_parquet(file),
    "with categories": lambda frame, file: frame.with_columns(CATEGORY).write_parquet(file),
    "without dictionaries": lambda frame, file: pq.write_table(
        frame.to_arrow(), file, use_dictionary=False, store_schema=False
    ),
    "with other number types": lambda frame, file: frame.cast(TYPES).write_parquet(file),
    "in another order, with more": lambda frame, file: frame.select(
        *sorted(frame.columns), extra=pl.lit("x")
    ).write_parquet(file),
}


def made() -> pl.DataFrame:
    return pl.from_pandas(
        frame_of(
            rows_of("a", 0.5, 0.6, attack="pgd-l1"),
            rows_of("a", 0.7, 0.8, attack="pgd-linf"),
            rows_of("b", 0.1, 0.2, learning_rate=1e-2, pack_id="p1"),
            rows_of("c", None, None, status="diverged", diverged_step=3),
            rows_of("d", 0.3, 0.4, dataset="wine", dataset_hash="d1", seed=2),
        )
    )


@pytest.mark.parametrize("kind", WRITERS)
def test_file_gives_its_records_however_written(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "records.parquet"
    WRITERS[kind](made(), file)
    records = load(locate((), str(file), tmp_path))
    found = (
        records.test.join(records.trials, on="trial")
        .join(records.cells.unique("cell"), on="cell")
        .sort("trial_id", "attack")
        .select("trial_id", "dataset", "seed", "diverged_step", "attack", "accuracy")
        .rows()
    )
    assert found == [
        ("a", "iris", 0, None, "pgd-l1", 0.6),
        ("a", "iris", 0, None, "pgd-linf", 0.8),
        ("b", "iris", 0, None, "pgd-linf", 0.2),
        ("c", "iris", 0, 3, "pgd-linf", None),
        ("d", "wine", 2, None, "pgd-linf", 0.4),
    ]


def chunk_of(frame: pl.DataFrame, folder: Path, *datasets: str) -> Chunk:
    frame.write_parquet(folder / "one.parquet")
    (chunk,) = read([folder / "one.parquet"], datasets or None)
    return chunk


def test_columns_of_one_value_are_not_read_but_floats_are(tmp_path: Path) -> None:
    nan = pl.Series([0.5, float("nan")] * 5)  # its statistics say 0.5 to 0.5
    chunk = chunk_of(made().with_columns(accuracy=nan), tmp_path)
    assert {"experiment", "network", "steps", "error"} <= set(chunk.constants)
    assert chunk.constants["error"] is None
    assert {"trial_id", "dataset", "accuracy", "train_seconds"} <= set(chunk.columns)
    assert chunk.array("steps").to_pylist() == [5000] * 10


def test_other_data_sets_are_left_out(tmp_path: Path) -> None:
    chunk = chunk_of(made(), tmp_path, "wine", "glass")
    assert chunk.array("trial_id").to_pylist() == ["d", "d"]
    assert [*read([tmp_path / "one.parquet"], ["glass"])] == []


def test_absent_columns_get_what_stands_for_them(tmp_path: Path) -> None:
    chunk = chunk_of(made().drop(*OPTIONAL), tmp_path)
    assert {name: chunk.constants[name] for name in OPTIONAL} == OPTIONAL
