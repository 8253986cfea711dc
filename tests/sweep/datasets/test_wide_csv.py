"""Tables of very many columns: the same as by pandas alone, and in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sweep import datasets
from sweep.datasets import DataOptions, wide_csv
from sweep.datasets.table_files import read_csv

CELLS = st.sampled_from(
    [
        *("1", "-2.5", "1e3", " 7", "+4", ".5", "007", "1e-400", "123456789012"),
        *("", "?", "NA", "nan", "NaN", "null", "None", " ?"),
        *("red", "True", "False", "1_000", "0x10", "1,5", 'a "b"', "two\nlines", "é", "１"),
    ]
)


@contextmanager
def many(columns: int) -> Iterator[None]:
    before = wide_csv.MANY
    wide_csv.MANY = columns
    try:
        yield
    finally:
        wide_csv.MANY = before


def outcome(path: Path, header: bool) -> pd.DataFrame | str:
    """The table, its numbers in one type, or what is wrong with it."""
    try:
        frame = read_csv(path, header)
    except ValueError as error:
        return str(error)
    for name in frame:
        if pd.api.types.is_numeric_dtype(frame[name]):
            frame[name] = frame[name].astype(np.float64)
        else:
            frame[name] = frame[name].astype(object)
    return frame


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n') else cell


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), width=st.integers(2, 5), header=st.booleans(), end=st.sampled_from("\n\r"))
def test_wide_reader_agrees_with_pandas(
    tmp_path: Path, data: st.DataObject, width: int, header: bool, end: str
) -> None:
    line = st.lists(CELLS, min_size=width, max_size=width)
    rows = data.draw(st.lists(line, min_size=1, max_size=5))
    lines = [[f"f{i}" for i in range(width)]] * header + rows
    text = {"\n": "\n", "\r": "\r\n"}[end].join(",".join(map(quoted, row)) for row in lines)
    path = tmp_path / "mine.csv"
    path.write_bytes(text.encode())
    with many(10**9):
        expected = outcome(path, header)
    with many(1):
        found = outcome(path, header)
    if isinstance(expected, str) or isinstance(found, str):
        assert found == expected
    else:
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.parametrize("short", ["1,2", "1,2,3,4"])
def test_lines_of_other_lengths_are_treated_as_in_narrow_files(tmp_path: Path, short: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"a,b,class\n1,2,x\n{short}\n3,4,y\n")
    with many(10**9):
        expected = outcome(path, True)
    with many(1):
        found = outcome(path, True)
    if isinstance(expected, str):
        assert found == expected
    else:
        pd.testing.assert_frame_equal(found, expected)


def test_hundred_thousand_columns_load_in_seconds(tmp_path: Path) -> None:
    width, rows = 100_000, 20
    lines = [",".join([*(f"f{i}" for i in range(width)), "class"])]
    for row in range(rows):
        cells = [str(i + row) for i in range(width)]
        cells[7] = "?"
        cells[8] = '"' + "1,5"[::2] + '"'  # a quoted number
        lines.append(",".join([*cells, "ab"[row % 2]]))
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    options = DataOptions("folder", str(tmp_path))
    started = time.process_time()
    data = datasets.load("mine", "standardized", options, 0)
    assert time.process_time() - started < 10  # 2 to 3 s; by pandas alone 30
    assert data.info.num_features == width
    assert data.info.num_classes == 2
    assert np.all(data.train.x[:, [7, 8]] == 0)  # nothing but missing values; constant
    assert np.all(np.isfinite(data.train.x))
    np.testing.assert_allclose(data.train.x[:, 9], data.train.x[:, 99_999], atol=1e-5)
