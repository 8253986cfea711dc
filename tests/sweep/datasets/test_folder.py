"""Source `folder`: a user's own tables, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweep import datasets
from sweep.datasets import DataOptions, loading
from sweep.datasets.values import RawData

ROWS = [(0.5 * i, 10.0 - i, "ab"[i % 2]) for i in range(20)]
LINES = ["width,height,class", *(f"{a},{b},{c}" for a, b, c in ROWS)]


def read(root: Path, name: str = "mine") -> RawData:
    loading.read_raw.cache_clear()
    return loading.read_raw(name, DataOptions("folder", str(root)))[0]


def write(root: Path, lines: list[str], newline: str = "\n", encoding: str = "utf-8") -> None:
    (root / "mine.csv").write_bytes((newline.join(lines) + newline).encode(encoding))


def describe(root: Path, entry: str) -> None:
    (root / "mine.yaml").write_text(f"name: mine\n{entry}\n", encoding="utf-8")


def assert_right(raw: RawData) -> None:
    np.testing.assert_array_equal(raw.x, [row[:2] for row in ROWS])
    assert raw.y.tolist() == [0, 1] * 10
    assert raw.classes == ("a", "b")
    assert raw.features == ("width", "height")


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"], ids=["plain", "BOM"])
def test_csv_is_read(tmp_path: Path, newline: str, encoding: str) -> None:
    write(tmp_path, LINES, newline, encoding)
    assert_right(read(tmp_path))


def test_target_may_be_the_first_column(tmp_path: Path) -> None:
    write(tmp_path, ["class,width,height", *(f"{c},{a},{b}" for a, b, c in ROWS)])
    assert_right(read(tmp_path))


def test_parquet_is_read(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["width", "height", "class"])
    frame.to_parquet(tmp_path / "mine.parquet")
    assert_right(read(tmp_path))


def test_npz_is_read(tmp_path: Path) -> None:
    x, y = np.array([row[:2] for row in ROWS]), np.array([row[2] for row in ROWS])
    np.savez(tmp_path / "mine.npz", X=x, y=y)
    raw = read(tmp_path)
    np.testing.assert_array_equal(raw.x, x)
    assert raw.classes == ("a", "b")


def test_npz_with_a_test_split_keeps_it(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1300, 4, 4), dtype=np.uint8)
    labels = np.arange(1300) % 3
    np.savez(
        tmp_path / "mine.npz",
        **{"x_train": images[:1200], "y_train": labels[:1200]},
        **{"x_test": images[1200:], "y_test": labels[1200:]},
    )
    data = datasets.load("mine", "unit", DataOptions("folder", str(tmp_path)), 0)
    assert data.info.input_shape == (4, 4, 1)
    deviations = (data.train.x.astype(np.float64)).std(axis=1)  # of images from 0 to 1
    assert data.info.pixel_scale == pytest.approx(deviations.mean())
    assert (data.info.num_train, data.info.num_validation, data.info.num_test) == (200, 1000, 100)
    np.testing.assert_allclose(data.test.x, images[1200:].reshape(100, 16) / 255, rtol=1e-6)
    assert data.bounds == (0.0, 1.0)


def test_entry_beside_the_data_says_how_to_read_it(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    lines = [f"row{i},{a},{b},{c}" for i, (a, b, c) in enumerate(ROWS)]
    (tmp_path / "raw" / "data.csv").write_text("\n".join(lines))
    describe(tmp_path, "file: raw/data.csv\nheader: false\ntarget: V4\nignore: [V1]\nrows: 20")
    raw = read(tmp_path)
    np.testing.assert_array_equal(raw.x, [row[:2] for row in ROWS])
    assert raw.features == ("V2", "V3")


def test_entry_that_does_not_fit_shows_both(tmp_path: Path) -> None:
    write(tmp_path, LINES)
    describe(tmp_path, "rows: 21\nclasses: 3")
    with pytest.raises(ValueError, match="20 rows, expected 21; 2 classes, expected 3"):
        read(tmp_path)


def test_quoted_commas_and_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    labels = ['"a, the first"', '"b\nof two lines"']
    header = '"width, in cm",height,class'
    write(tmp_path, [header, *(f"{a},{b},{labels[i % 2]}" for i, (a, b, _) in enumerate(ROWS))])
    raw = read(tmp_path)
    assert raw.classes == ("a, the first", "b\nof two lines")
    assert raw.features == ("width, in cm", "height")


def test_missing_values_are_marked_in_the_usual_ways(tmp_path: Path) -> None:
    lines = list(LINES)
    for line, mark in ((1, ""), (2, "?"), (3, "NA"), (4, " NaN")):
        lines[line] = f"{mark},{lines[line].split(',', 1)[1]}"
    write(tmp_path, lines)
    raw = read(tmp_path)
    assert np.isnan(raw.x[:4, 0]).all()
    assert not np.isnan(raw.x[4:]).any()


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("1.0", "2.0"), ("1", "2")),
        (("10", "9"), ("9", "10")),
        (("0.5", "-0.5"), ("-0.5", "0.5")),
        (("True", "False"), ("False", "True")),
        (("Zürich", "1"), ("1", "Zürich")),
    ],
    ids=["floats", "numeric order", "fractions", "bools", "mixed"],
)
def test_labels_are_recoded_in_order(
    tmp_path: Path, labels: tuple[str, str], classes: tuple[str, str]
) -> None:
    write(tmp_path, [LINES[0], *(f"{a},{b},{labels[i % 2]}" for i, (a, b, _) in enumerate(ROWS))])
    raw = read(tmp_path)
    assert raw.classes == classes
    assert raw.classes[raw.y[0]] == labels[0].removesuffix(".0")


def test_whole_and_fractional_spellings_are_one_label(tmp_path: Path) -> None:
    write(tmp_path, ["f,class", *(f"{i},{('1', '1.0', '2')[i % 3]}" for i in range(21))])
    assert read(tmp_path).classes == ("1", "2")


def test_one_hot_entry_encodes_categories(tmp_path: Path) -> None:
    colours = ["red", "green", "blue", ""]
    write(tmp_path, ["c,f,class", *(f"{colours[i % 4]},{i},{i % 2}" for i in range(20))])
    describe(tmp_path, "categorical: one-hot")
    raw = read(tmp_path)
    assert raw.features == ("c=blue", "c=green", "c=red", "f")
    np.testing.assert_array_equal(raw.x[:3, :3], [[0, 0, 1], [0, 1, 0], [1, 0, 0]])
    assert np.isnan(raw.x[3, :3]).all()


def test_choices_are_said_once_in_a_line_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    colours = ["red", "green", "blue", ""]
    rows = [f"{colours[i % 4]},{i * i % 13 if i % 5 else ''},{'yn'[i % 2]}" for i in range(40)]
    write(tmp_path, ["c,f,class", *rows])
    describe(tmp_path, "categorical: one-hot")
    options = DataOptions("folder", str(tmp_path))
    datasets.describe("mine", options, 0)
    assert [message for message in caplog.messages if "leak" not in message] == [
        "mine: labels: 0 = n, 1 = y",
        "mine: one-hot: c: 3 inputs, blue, green, red",
        "mine: missing: c 10, f 8: the mean of the training rows stands in, 0 once scaled (of "
        "categories, their shares)",
    ]
    caplog.clear()
    datasets.describe("mine", options, 0)
    assert not caplog.messages


def test_class_with_one_member_is_allowed_and_absence_from_training_reported(
    tmp_path: Path,
) -> None:
    write(tmp_path, [*LINES, "1,1,c"])
    options = DataOptions("folder", str(tmp_path))
    absent = 0
    for split_seed in range(12):
        info = datasets.describe("mine", options, split_seed)
        assert info.num_classes == 3
        data = datasets.load("mine", "standardized", options, split_seed)
        reported = any("without a training row: c" in note for note in info.notes)
        assert reported == (2 not in data.train.y)
        absent += reported
    assert 0 < absent < 12


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "empty"),
        (LINES[:1], "no rows"),
        ([LINES[0], "1,2,a", "3,4,a", "5,6,a"], r"only one class \(a\)"),
        (["f,f,class", "1,2,a", "3,4,b"], "duplicate column names: f"),
        (["f, f,class", "1,2,a", "3,4,b"], "duplicate column names: f"),
        (["f,g", "1,a", "2,b"], "which column is the target.*columns: f, g"),
        (["class,target,f", "1,2,3", "4,5,6"], "which column is the target"),
        (["class", "a", "b"], "no feature columns beside the target"),
        (["class", "a", '""', "b"], "a line with nothing but quotes; leave such lines out"),
        ([LINES[0], "1,2,a,9", "3,4,b,9"], "line 2 has 4 values, the first line has 3"),
        ([LINES[0], "1,2,a", "3,4,b,9"], "line 3 has 4 values, the first line has 3"),
        ([*LINES, "1,2"], "line 22 has 2 values, the first line has 3"),
        ([LINES[0], '1,"2,a', "3,4,b", "5,6,a"], "line 2 has 2 values.*quote not closed.*line 4"),
        ([*LINES[:3], '1,2,"a', *LINES[3:]], "line 4: a quote that opens here is not closed"),
        ([*LINES, "", "1,2,"], "line 23: 1 rows have no 'class'.*missing_target"),
        ([*LINES, "red,2,a"], "line 22: column 'width' holds 'red', not a number.*one-hot"),
        ([*LINES[:5], "", "inf,2,a"], "line 7: column 'width' has infinite values"),
        ([LINES[0], "1e400,2,a", *LINES[1:]], "line 2: column 'width' has infinite values"),
        ([LINES[0], *(f"{i},{i},{i / 7}" for i in range(30))], "not a class label"),
        ([LINES[0], *["1,2,a", "3,4,b"]], "2 rows are too few for three splits"),
    ],
    ids=[
        *("empty", "header only", "one class", "duplicate", "duplicate after spaces"),
        *(
            "no target",
            "two targets",
            "no features",
            "only quotes",
            "longer lines",
            "a longer line",
        ),
        *(
            "a shorter line",
            "open quote",
            "open quote at the end",
            "no label",
            "text",
            "infinite",
            "too large",
        ),
        *("regression", "two rows"),
    ],
)
def test_bad_csv_is_one_clear_line(tmp_path: Path, lines: list[str], message: str) -> None:
    write(tmp_path, lines) if lines else (tmp_path / "mine.csv").write_text("")
    with pytest.raises(ValueError, match=message) as error:
        datasets.describe("mine", DataOptions("folder", str(tmp_path)), 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("mine.csv", "f,class\n1,\xe9\n".encode("latin-1"), "line 2: not UTF-8 text"),
        ("mine.csv", "f,class\n1,a\n".encode("utf-16"), "is UTF-16 text; save it as CSV"),
        ("mine.csv", b"PK\x03\x04 book", "is a zip archive, as spreadsheets are; save it as CSV"),
        ("mine.csv", b"f,class\n1,a\n\x00,b\n", "line 3: holds a zero byte"),
        ("mine.parquet", b"PAR1 nothing", "not a readable Parquet file"),
        ("mine.npz", b"PK nothing", "not a readable npz file"),
    ],
    ids=["latin-1", "UTF-16", "spreadsheet", "zero byte", "parquet", "npz"],
)
def test_damaged_file_is_one_clear_line(
    tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 2))}, "no array 'y'; arrays: x"),
        ({"x": np.zeros(4), "y": np.arange(4)}, "x must be numbers"),
        ({"x": np.zeros((4, 2, 2)), "y": np.arange(4)}, "uint8 images"),
        ({"x": np.zeros((4, 2)), "y": np.arange(5)}, "y must be 4 numbers or texts"),
        ({"x": np.full((4, 2), np.inf), "y": np.arange(4) % 2}, "infinite"),
    ],
    ids=["no labels", "flat", "float images", "lengths", "infinite"],
)
def test_wrong_npz_arrays_are_one_clear_line(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


def test_npz_with_python_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=np.array([{}], dtype=object), y=np.array([1]))
    with pytest.raises(ValueError, match="not a readable npz file"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "mine\n"], ids=repr)
def test_path_in_a_name_is_an_unknown_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "inside").mkdir()
    write(tmp_path, LINES)
    (tmp_path / "secret.csv").write_text("\n".join(LINES))
    with pytest.raises(ValueError, match="unknown data set of source 'folder'") as error:
        datasets.describe(name, DataOptions("folder", str(tmp_path / "inside")), 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["../mine.csv", "/etc/passwd", "a/../../mine.csv"])
def test_file_outside_the_folder_is_refused(tmp_path: Path, file: str) -> None:
    write(tmp_path, LINES)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "mine.yaml").write_text(f"name: mine\nfile: {file}\n")
    with pytest.raises(ValueError, match="must lie in data.root"):
        read(inside)


def test_two_files_for_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, LINES)
    (tmp_path / "mine.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"both mine\.csv and mine\.npz"):
        read(tmp_path)


def test_catalog_set_that_is_not_in_the_folder_says_what_would_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"none of wine\.csv, wine\.tsv, wine\.parquet, wine\.npz is in"
    ):
        read(tmp_path, "wine")


def test_target_column_can_be_kept(tmp_path: Path) -> None:
    write(tmp_path, LINES)
    options = DataOptions("folder", str(tmp_path), keep_target_column=True)
    info = datasets.describe("mine", options, 0)
    assert info.leaky
    assert info.num_features == 3


def test_hundred_thousand_columns_are_read_as_any_others(tmp_path: Path) -> None:
    width, rows = 100_000, 20
    lines = [",".join([*(f"f{i}" for i in range(width)), "class"])]
    for row in range(rows):
        cells = [str(i + row) for i in range(width)]
        cells[7] = "?"
        cells[8] = '"' + "1,5"[::2] + '"'  # a quoted number
        lines.append(",".join([*cells, "ab"[row % 2]]))
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    options = DataOptions("folder", str(tmp_path))
    data = datasets.load("mine", "standardized", options, 0)
    assert data.info.num_features == width
    assert data.info.num_classes == 2
    assert np.all(data.train.x[:, [7, 8]] == 0)  # nothing but missing values; constant
    assert np.all(np.isfinite(data.train.x))
    np.testing.assert_allclose(data.train.x[:, 9], data.train.x[:, 99_999], atol=1e-5)
