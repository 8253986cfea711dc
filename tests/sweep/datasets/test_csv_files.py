"""CSV files as people have them: separators, quotes, blank lines, and the line of each row."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.datasets.csv_files import SEPARATORS, CsvRules, read_csv


def written(root: Path, text: str) -> Path:
    path = root / "mine.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("separator", list(SEPARATORS))
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_separator_is_told_by_the_first_line(tmp_path: Path, separator: str, newline: str) -> None:
    mark = SEPARATORS[separator]
    lines = [mark.join(cells) for cells in (["f", '"g, h; i"', "class"], ["1.5", "2", "a"])]
    table = read_csv(written(tmp_path, newline.join(lines)))
    assert table.separator == separator
    assert table.frame.columns.tolist() == ["f", "g, h; i", "class"]
    assert table.frame.iloc[0].tolist() == [1.5, 2, "a"]


def test_separator_and_decimal_comma_that_are_said_are_used(tmp_path: Path) -> None:
    rules = CsvRules(header=False, separator="semicolon", decimal=",", missing=("-9", "none"))
    frame = read_csv(written(tmp_path, "1,5;-9;a\n2,25;3;none\n"), rules).frame
    assert frame["V1"].tolist() == [1.5, 2.25]
    assert frame["V2"].isna().tolist() == [True, False]
    assert frame["V3"].isna().tolist() == [False, True]


def test_column_without_a_name_is_named_by_its_position(tmp_path: Path) -> None:
    frame = read_csv(written(tmp_path, ",f,class\n0,1,a\n1,2,b\n")).frame
    assert frame.columns.tolist() == ["V1", "f", "class"]


def test_whole_numbers_beyond_64_bits_are_numbers(tmp_path: Path) -> None:
    frame = read_csv(written(tmp_path, f"f,class\n{10**30},a\n,b\n-7,a\n")).frame
    np.testing.assert_array_equal(frame["f"], [1e30, np.nan, -7.0])


@pytest.mark.parametrize("text", ["NaN", "nan", "NA", "N/A", "null", "", "?", "  "])
def test_usual_texts_for_no_value_are_missing(tmp_path: Path, text: str) -> None:
    frame = read_csv(written(tmp_path, f"f,class\n{text},a\n2,b\n")).frame
    assert frame["f"].isna().tolist() == [True, False]


def test_rows_are_named_by_the_line_they_start_in(tmp_path: Path) -> None:
    table = read_csv(written(tmp_path, 'f,t\n\n1,"a\n\nb"\n   \n2,c\n\n\n3,d'))
    assert table.lines == [3, 7, 10]
    assert table.frame["f"].tolist() == [1, 2, 3]


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=6)


@given(
    st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.sampled_from(list(SEPARATORS))
)
@settings(max_examples=100, deadline=None)
def test_whatever_is_written_is_read_back_row_by_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], separator: str
) -> None:
    path = tmp_path_factory.mktemp("written") / "mine.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=SEPARATORS[separator], quoting=csv.QUOTE_ALL)
        writer.writerows([("f", "g"), *((f"x{a}", f"x{b}") for a, b in rows)])
    table = read_csv(path, CsvRules(separator=separator))
    assert table.frame.to_numpy().tolist() == [[f"x{a}", f"x{b}"] for a, b in rows]
    content = path.read_bytes().split(b"\n")
    starts = [content[line - 1].startswith(b'"x') for line in table.lines]
    assert all(starts)
    assert len(starts) == len(rows)
