"""Source `openml` with the real client against a loopback server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from sweep import datasets
from sweep.datasets import DataOptions, loading
from sweep.datasets.cache import locked
from sweep.datasets.catalog import catalog
from sweep.datasets.report import verify_table
from sweep.datasets.sources import authors
from sweep.datasets.sources import openml as source
from sweep.datasets.values import UNLOADED, RawData

from .openml_server import OpenMLServer

IRIS = 61
DATA_FILE = f"/data/v1/download/{IRIS}/made.arff"
IRIS_COLUMNS = {
    **{f"f{i}": "NUMERIC" for i in range(4)},
    "class": "{Iris-setosa,Iris-versicolor,Iris-virginica}",
}
IRIS_CLASSES = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")


def iris_rows() -> list[list[object]]:
    bunch = sklearn.datasets.load_iris()
    return [
        [*map(float, x), IRIS_CLASSES[y]] for x, y in zip(bunch.data, bunch.target, strict=True)
    ]


def read(name: str, root: Path) -> RawData:
    loading.read_raw.cache_clear()
    return loading.read_raw(name, DataOptions("openml", str(root)))[0]


def assert_is_iris(raw: RawData) -> None:
    bunch = sklearn.datasets.load_iris()
    np.testing.assert_array_equal(raw.x, bunch.data)
    np.testing.assert_array_equal(raw.y, bunch.target)
    assert raw.classes == IRIS_CLASSES


@pytest.mark.parametrize("with_parquet", [False, True], ids=["arff", "parquet"])
def test_download_has_the_served_arrays(
    server: OpenMLServer, tmp_path: Path, with_parquet: bool
) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows(), with_parquet)
    assert_is_iris(read("iris", tmp_path))
    assert (server.requests[DATA_FILE] == 0) == with_parquet


def test_second_load_makes_no_request(server: OpenMLServer, tmp_path: Path) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    read("iris", tmp_path)
    server.requests.clear()
    assert_is_iris(read("iris", tmp_path))
    assert not server.requests


@pytest.mark.parametrize(
    ("part", "faults"),
    [("/data/61", [500, 500]), ("download", [500, 500]), ("download", ["truncate", "truncate"])],
    ids=["description", "file", "truncated"],
)
def test_two_failures_are_retried(
    server: OpenMLServer, tmp_path: Path, part: str, faults: list[int | str]
) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    server.faults[part] = list(faults)
    assert_is_iris(read("iris", tmp_path))
    assert server.requests["/api/v1/xml/data/61"] == 3


@pytest.mark.parametrize(
    ("part", "fault", "with_parquet"),
    [("/data/61", "silent", False), ("download", "stall", False), ("bucket", "stall", True)],
    ids=["description", "file", "parquet"],
)
def test_silent_server_ends_in_one_line_after_the_timeout(
    server: OpenMLServer,
    tmp_path: Path,
    part: str,
    fault: str,
    with_parquet: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(source, "ATTEMPTS", 2)
    server.add(IRIS, IRIS_COLUMNS, iris_rows(), with_parquet)
    server.faults[part] = [fault] * 100
    started = time.monotonic()
    with pytest.raises(ValueError, match=r"OpenML data 61 \(iris\).*attempt 2 of 2") as caught:
        patient_read("iris", tmp_path, timeout=0.5)
    assert "\n" not in str(caught.value)
    assert 0.5 < time.monotonic() - started < 20
    del server.faults[part]
    assert_is_iris(patient_read("iris", tmp_path, timeout=5.0))


def patient_read(name: str, root: Path, timeout: float) -> RawData:
    loading.read_raw.cache_clear()
    return loading.read_raw(name, DataOptions("openml", str(root), timeout_seconds=timeout))[0]


def test_arff_is_read_where_the_parquet_file_is_missing(
    server: OpenMLServer, tmp_path: Path
) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows(), with_parquet=True)
    server.faults["bucket"] = [500]
    assert_is_iris(read("iris", tmp_path))
    assert server.requests[DATA_FILE] == 1


def test_truncated_parquet_is_retried(server: OpenMLServer, tmp_path: Path) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows(), with_parquet=True)
    whole = server.sets[IRIS].parquet
    assert whole is not None
    server.sets[IRIS].parquet = whole[:-20]  # complete to HTTP, but without Parquet's footer
    with pytest.raises(ValueError, match="attempt 5 of 5") as error:
        read("iris", tmp_path)
    assert "\n" not in str(error.value)
    server.sets[IRIS].parquet = whole
    assert_is_iris(read("iris", tmp_path))


def test_wrong_checksum_is_one_clear_line(server: OpenMLServer, tmp_path: Path) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    server.sets[IRIS].checksum = "0" * 32
    with pytest.raises(ValueError, match=r"iris.*Checksum") as error:
        read("iris", tmp_path)
    assert "\n" not in str(error.value)
    assert server.requests[DATA_FILE] == source.ATTEMPTS


def test_unknown_data_id_is_not_retried(server: OpenMLServer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data 61 \(iris\).*Unknown dataset"):
        read("iris", tmp_path)
    assert server.requests["/api/v1/xml/data/61"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda columns, rows: rows.pop(), "149 rows, expected 150"),
        (lambda columns, rows: columns.update(f4="NUMERIC"), "5 features, expected 4"),
        (
            lambda columns, rows: rows.__setitem__(0, [*rows[0][:4], "Iris-virginica"]),
            r"class sizes \[51, 50, 49\], expected \[50, 50, 50\]",
        ),
    ],
    ids=["rows", "features", "class sizes"],
)
def test_mismatch_with_the_catalog_shows_both(
    server: OpenMLServer, tmp_path: Path, change: object, message: str
) -> None:
    columns, rows = dict(IRIS_COLUMNS), iris_rows()
    change(columns, rows)  # type: ignore[operator]
    if len(columns) == 6:
        columns["class"] = columns.pop("class")  # the target stays last
        rows = [[*row[:4], 1.0, row[4]] for row in rows]
    server.add(IRIS, columns, rows)
    with pytest.raises(ValueError, match=message):
        read("iris", tmp_path)


def test_data_that_changed_since_the_first_load_are_refused(
    server: OpenMLServer, tmp_path: Path
) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    read("iris", tmp_path)
    (arrays,) = (tmp_path / "openml").glob("*.npz")
    arrays.unlink()
    rows = iris_rows()
    rows[0][0] = 9.9
    server.add(IRIS, IRIS_COLUMNS, rows)
    with pytest.raises(ValueError, match=r"arrays with hash \w+, the first load .* recorded \w+"):
        read("iris", tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not a zip file"], ids=["empty", "other"])
def test_damaged_cache_is_downloaded_again(
    server: OpenMLServer, tmp_path: Path, damage: bytes
) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    read("iris", tmp_path)
    (arrays,) = (tmp_path / "openml").glob("*.npz")
    arrays.write_bytes(damage)
    assert_is_iris(read("iris", tmp_path))
    assert server.requests[DATA_FILE] == 2


def test_half_a_file_of_a_killed_process_is_not_used(server: OpenMLServer, tmp_path: Path) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    left = tmp_path / "openml" / "client" / str(IRIS)
    left.mkdir(parents=True)
    (left / "dataset.arff").write_bytes(server.sets[IRIS].file[:1500])
    (left / "dataset.pkl.py3").write_bytes(b"half")
    assert_is_iris(read("iris", tmp_path))
    assert not left.exists()


def test_two_processes_with_an_empty_cache_download_once(
    server: OpenMLServer, tmp_path: Path
) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    config = tmp_path / "config" / "openml"
    config.mkdir(parents=True, exist_ok=True)
    (config / "config").write_text(f"server = {server.api}\n", encoding="utf-8")
    code = (
        "from sweep.datasets import DataOptions, describe\n"
        f"print(describe('iris', DataOptions('openml', {str(tmp_path)!r}), 0).hash)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert outputs[0] == outputs[1] != ""
    assert server.requests[DATA_FILE] == 1


def test_lock_held_elsewhere_is_reported(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "a.lock"),
        pytest.raises(ValueError, match=r"a\.lock is still held"),
        locked(tmp_path / "a.lock", timeout=0.02),
    ):
        raise AssertionError("two holders of one lock")


def test_planned_needs_no_server_until_the_set_was_loaded(
    server: OpenMLServer, tmp_path: Path
) -> None:
    server.add(IRIS, IRIS_COLUMNS, iris_rows())
    options = DataOptions("openml", str(tmp_path))
    before = datasets.planned("iris", options, 0)
    assert before.hash == UNLOADED
    assert not server.requests
    loaded = datasets.load("iris", "standardized", options, 0).info
    loading._recorded.cache_clear()
    after = datasets.planned("iris", options, 0)
    assert after == loaded
    sizes = ("num_features", "num_classes", "num_train", "num_validation", "num_test")
    assert [getattr(before, size) for size in sizes] == [getattr(after, size) for size in sizes]
    assert datasets.planned("iris", options, 1).hash == UNLOADED


def test_name_without_a_known_id_says_what_to_do(tmp_path: Path) -> None:
    options = DataOptions("openml", str(tmp_path))
    name = "breast-cancer-wisconsin-prognostic"
    assert datasets.planned(name, options, 0).num_features == 32
    with pytest.raises(ValueError, match=r"no OpenML id.*data\.source=authors or folder"):
        datasets.describe(name, options, 0)


def numeric_rows(count: int, width: int, labels: Sequence[object]) -> list[list[object]]:
    """Made-up rows whose cells are all distinct."""
    return [[*(float(i * width + j) for j in range(width)), labels[i]] for i in range(count)]


def test_numbers_declared_nominal_become_numbers(server: OpenMLServer, tmp_path: Path) -> None:
    years = [58 + i % 12 for i in range(306)]
    rows = [[i % 50, years[i], i % 7, 1 if i < 225 else 2] for i in range(306)]
    nominal = "{" + ",".join(str(year) for year in range(58, 70)) + "}"
    columns = {"Age": "NUMERIC", "Year": nominal, "Nodes": "NUMERIC", "Survival_status": "{1,2}"}
    server.add(43, columns, rows)
    raw = read("haberman-survival", tmp_path)
    np.testing.assert_array_equal(raw.x[:, 1], years)
    assert raw.features == ("Age", "Year", "Nodes")


def test_two_valued_categories_become_one_column_with_missing_values(
    server: OpenMLServer, tmp_path: Path
) -> None:
    columns = {f"n{i}": "NUMERIC" for i in range(6)} | {f"c{i}": "{no,yes}" for i in range(13)}
    rows: list[list[object]] = []
    for i in range(155):
        answers: list[object] = [("yes" if (i + j) % 3 else "no") for j in range(13)]
        rows.append([*range(i, i + 6), *answers, "LIVE" if i < 123 else "DIE"])
    rows[0][0] = None
    rows[1][6] = None
    server.add(55, columns | {"class": "{DIE,LIVE}"}, rows)  # the catalog says `Class`
    raw = read("hepatitis", tmp_path)
    assert raw.x.shape == (155, 19)
    assert np.isnan(raw.x[0, 0])
    assert np.isnan(raw.x[1, 6])
    assert raw.x[2, 6] == float(2 % 3 != 0)
    assert raw.classes == ("DIE", "LIVE")
    data = datasets.load("hepatitis", "standardized", DataOptions("openml", str(tmp_path)), 0)
    for split in (data.train, data.validation, data.test):
        assert np.isfinite(split.x).all()


HAYES_ROTH = 329
HAYES_COLUMNS = {f"f{i}": "NUMERIC" for i in range(4)} | {"class": "{1,2,3}"}
HAYES_TRAINING = [1] * 51 + [2] * 51 + [3] * 30


def test_rows_of_the_paper_are_chosen_from_a_union(server: OpenMLServer, tmp_path: Path) -> None:
    rows = numeric_rows(160, 4, [*HAYES_TRAINING, *[1] * 28])
    server.add(HAYES_ROTH, HAYES_COLUMNS, rows)
    raw = read("hayes-roth", tmp_path)
    np.testing.assert_array_equal(raw.x, [row[:4] for row in rows[:132]])
    assert np.bincount(raw.y).tolist() == [51, 51, 30]


def test_wrong_unsure_rows_leave_the_union_with_a_note(
    server: OpenMLServer, tmp_path: Path
) -> None:
    server.add(HAYES_ROTH, HAYES_COLUMNS, numeric_rows(160, 4, [*[1] * 28, *HAYES_TRAINING]))
    raw = read("hayes-roth", tmp_path)
    assert len(raw.y) == 160
    assert any("could not be told apart" in note for note in raw.notes)


def test_wrong_confirmed_rows_are_an_error(server: OpenMLServer, tmp_path: Path) -> None:
    columns = {f"f{i}": "NUMERIC" for i in range(64)} | {"class": "{0,1,2,3,4,5,6,7,8,9}"}
    server.add(28, columns, numeric_rows(5620, 64, [i % 10 for i in range(5620)]))
    with pytest.raises(ValueError, match=r"first 3823 rows .*class sizes"):
        read("optical-recognition-handwritten-digits", tmp_path)


def test_released_rows_of_optdigits_are_found_in_their_union_with_the_test_file(
    server: OpenMLServer, tmp_path: Path, release: Path
) -> None:
    name = "optical-recognition-handwritten-digits"
    released = authors.read(name, DataOptions("authors", str(release)))
    bundled = sklearn.datasets.load_digits()
    x = np.concatenate([np.nan_to_num(released.x), bundled.data])
    y = np.concatenate([released.y, bundled.target])
    columns = {f"f{i}": "NUMERIC" for i in range(64)} | {"class": "{0,1,2,3,4,5,6,7,8,9}"}
    rows = [[*map(float, cells), int(label)] for cells, label in zip(x, y, strict=True)]
    server.add(28, columns, rows)
    raw = read(name, tmp_path)
    np.testing.assert_array_equal(raw.x, np.nan_to_num(released.x))
    np.testing.assert_array_equal(raw.y, released.y)


def test_released_sets_served_by_openml_are_what_the_catalog_says(
    server: OpenMLServer, tmp_path: Path, release: Path
) -> None:
    """Every small set whose rows are the same on OpenML, in the columns that the catalog names."""
    served = []
    for name, entry in catalog().items():
        known = entry.openml
        if entry.is_vision or known is None or known.rows != entry.rows or known.rows > 1000:
            continue
        if known.classes or known.inputs:
            continue  # the release differs from OpenML's copy
        raw = authors.read(name, DataOptions("authors", str(release)))
        names = [*(f"x{i}" for i in range(raw.x.shape[1])), *known.ignore, known.target]
        kinds = ["NUMERIC"] * (len(names) - 1) + ["{" + ",".join(raw.classes) + "}"]
        ignored = [1.0] * len(known.ignore)
        cells = np.nan_to_num(raw.x).tolist()
        rows = [[*x, *ignored, raw.classes[y]] for x, y in zip(cells, raw.y, strict=True)]
        server.add(known.id, dict(zip(names, kinds, strict=True)), rows)
        served.append(name)
    table = verify_table(DataOptions("openml", str(tmp_path)), served)
    assert [row for row in table.rows if not row[-1].startswith("ok")] == []
    assert len(served) > 10


def test_unsure_entry_says_so(server: OpenMLServer, tmp_path: Path) -> None:
    labels = [1 + (i >= 147) for i in range(195)]
    columns = {f"V{i}": "NUMERIC" for i in range(22)} | {"Class": "{1,2}"}
    server.add(1488, columns, numeric_rows(195, 22, labels))
    info = datasets.describe("parkinsons", DataOptions("openml", str(tmp_path)), 0)
    assert info.num_features == 22
    assert any("marked unsure" in note for note in info.notes)
