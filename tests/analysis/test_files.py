"""Record files as other tools write them: every kind gives the same records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from analysis.files import RECORD_TYPES, collected, record_rows
from analysis.load import load
from analysis.locate import locate
from sweep.results.schema import STAND_INS
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


def test_other_data_sets_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "one.parquet"
    made().write_parquet(file)
    assert record_rows([file], ["wine", "glass"]).collect()["trial_id"].to_list() == ["d", "d"]
    assert record_rows([file], ["glass"]).collect().is_empty()


def test_absent_columns_get_what_stands_for_them(tmp_path: Path) -> None:
    file = tmp_path / "one.parquet"
    made().drop(*STAND_INS).write_parquet(file)
    (row,) = record_rows([file]).select(*STAND_INS).collect().unique().to_dicts()
    assert row == STAND_INS


def test_files_of_several_kinds_are_read_together_in_their_order(tmp_path: Path) -> None:
    files = [tmp_path / f"[{i}].parquet" for i in range(4)]  # no pattern of names
    for i, file in enumerate(files):
        frame = made().filter(trial_id="abcd"[i])
        frame = frame.cast(TYPES if i % 2 else {}).drop("training_options" if i > 1 else "error")
        frame.write_parquet(file)
    rows = record_rows(files).collect()
    assert rows["trial_id"].unique(maintain_order=True).to_list() == ["a", "b", "c", "d"]
    assert rows.schema == RECORD_TYPES


def test_column_of_another_type_is_one_line(tmp_path: Path) -> None:
    made().with_columns(accuracy=pl.lit("high\n" * 3)).write_parquet(tmp_path / "one.parquet")
    with pytest.raises(ValueError, match="cannot be read: .*'accuracy'") as caught:
        load(locate((), str(tmp_path), tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf")])
def test_number_that_is_not_whole_is_refused_where_a_whole_one_belongs(
    value: float, tmp_path: Path
) -> None:
    frame = frame_of(rows_of("a", 0.5, 0.6))
    whole, path = pl.from_pandas(frame), tmp_path / "p.parquet"
    whole.with_columns(steps=pl.lit(5000.0), seed=pl.lit(None, pl.Float64)).write_parquet(path)
    assert collected(record_rows([path]))["steps"].to_list() == [5000, 5000]
    whole.with_columns(steps=pl.lit(value)).write_parquet(path)
    with pytest.raises(ValueError, match="cannot be read: .*'steps'") as caught:
        collected(record_rows([path]))
    assert "\n" not in str(caught.value)
