"""Source `authors`: the released layout, its split, and the label column that it carries."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from sweep import datasets
from sweep.datasets import DataOptions
from sweep.datasets.report import audit_table
from sweep.datasets.sources import authors

WITHOUT_TRAINING_FEATURES = {
    "cnae-9",
    "letter-recognition",
    "poker-hand",
    "skin-segmentation",
    "spambase",
}


def write_release(root: Path, name: str, num_train: int, num_test: int) -> None:
    """Write a made-up set in the released layout: two features, a constant one, the label."""
    generator = np.random.default_rng(0)
    for part, count in (("train", num_train), ("test", num_test)):
        codes = np.array([1, 2, 4])[np.arange(count) % 3]  # a gap, as in glass and ecoli
        x = generator.normal(size=(count, 2))
        lines = [f"{a},{b},NaN,{c / 2}" for (a, b), c in zip(x, codes, strict=True)]
        (root / f"imp_{name}_{part}X.csv").write_text("\n".join(lines) + "\n")
        (root / f"{name}_{part}Y.csv").write_text("".join(f"{c}\n" for c in codes))


@pytest.fixture
def made(tmp_path: Path) -> DataOptions:
    write_release(tmp_path, "iris", 120, 30)
    return DataOptions("authors", str(tmp_path))


def kept(options: DataOptions) -> DataOptions:
    return DataOptions(options.source, options.root, keep_target_column=True)


def test_label_column_is_dropped(made: DataOptions) -> None:
    data = datasets.load("iris", "standardized", made, 0)
    assert data.info.num_features == 3
    assert not data.info.leaky
    for split in (data.train, data.validation, data.test):
        correlation = [abs(np.corrcoef(split.x[:, i], split.y)[0, 1]) for i in (0, 1)]
        assert max(correlation) < 0.9


def test_label_column_is_kept_on_request_and_marked(made: DataOptions) -> None:
    data = datasets.load("iris", "standardized", kept(made), 0)
    assert data.info.leaky
    assert data.info.num_features == 4
    assert data.info.hash != datasets.describe("iris", made, 0).hash
    assert any("one-to-one with the label" in note for note in data.info.notes)


def test_gaps_in_label_codes_are_closed(made: DataOptions) -> None:
    data = datasets.load("iris", "standardized", made, 0)
    assert data.info.num_classes == 3
    assert set(data.train.y.tolist()) == {0, 1, 2}


def test_validation_is_the_last_quarter_of_the_training_rows(
    made: DataOptions, tmp_path: Path
) -> None:
    data = datasets.load("iris", "standardized", made, 0)
    released = np.genfromtxt(tmp_path / "imp_iris_trainX.csv", delimiter=",")[:, 0]
    mean, deviation = released[:90].mean(), released[:90].std()
    np.testing.assert_allclose(data.train.x[:, 0], (released[:90] - mean) / deviation, atol=1e-6)
    np.testing.assert_allclose(
        data.validation.x[:, 0], (released[90:] - mean) / deviation, atol=1e-6
    )
    assert data.info.num_test == 30


def test_column_that_is_nan_throughout_is_zero(made: DataOptions) -> None:
    data = datasets.load("iris", "standardized", made, 0)
    assert np.all(data.test.x[:, 2] == 0.0)


def test_other_split_seed_is_refused(made: DataOptions) -> None:
    with pytest.raises(ValueError, match=r"split_seed=1: .*only allowed value is 0"):
        datasets.describe("iris", made, 1)


def test_set_unlike_the_released_one_is_noted(made: DataOptions, tmp_path: Path) -> None:
    notes = datasets.describe("iris", made, 0).notes
    assert any("3 features, expected 4" in note for note in notes)


def test_missing_file_is_one_line(made: DataOptions, tmp_path: Path) -> None:
    (tmp_path / "imp_iris_trainX.csv").unlink()
    with pytest.raises(ValueError, match=r"imp_iris_trainX\.csv is missing") as error:
        datasets.describe("iris", made, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("root", "message"),
    [(None, "data.root is not set"), ("no/such/folder", "no/such/folder' is not a folder")],
    ids=["none", "absent"],
)
def test_bad_root_is_one_line(root: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        datasets.describe("iris", DataOptions("authors", root), 0)


def test_relative_root_holds_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    write_release(tmp_path / "data", "iris", 120, 30)
    monkeypatch.chdir(tmp_path)
    options = DataOptions("authors", "data")
    monkeypatch.chdir(tmp_path.parent)
    assert datasets.describe("iris", options, 0).num_test == 30


def test_labels_that_do_not_fit_the_features_are_refused(
    made: DataOptions, tmp_path: Path
) -> None:
    with (tmp_path / "iris_testY.csv").open("a") as file:
        file.write("1\n")
    with pytest.raises(ValueError, match=r"iris_testY\.csv: 31 rows of 1 labels for 30 rows"):
        datasets.describe("iris", made, 0)


def test_changed_file_is_read_again(made: DataOptions, tmp_path: Path) -> None:
    before = datasets.describe("iris", made, 0)
    write_release(tmp_path, "iris", 90, 30)
    for function in (datasets.loading.read_raw, datasets.loading._indices):
        function.cache_clear()
    datasets.loading._measured.cache_clear()
    datasets.loading._recorded.cache_clear()
    after = datasets.describe("iris", made, 0)
    assert (before.num_train, after.num_train) == (90, 68)
    assert before.hash != after.hash


def test_whole_release_loads_without_its_label_column(release: Path) -> None:
    options = DataOptions("authors", str(release))
    with (release / "datasets_info.csv").open() as file:
        published = {row["name_file"]: row for row in csv.DictReader(file)}
    assert set(published) == set(authors.names())
    for name, row in published.items():
        if name in WITHOUT_TRAINING_FEATURES:
            with pytest.raises(ValueError, match=f"imp_{name}_trainX.csv is missing"):
                datasets.describe(name, options, 0)
            continue
        info = datasets.describe(name, options, 0)
        assert info.num_train + info.num_validation == int(row["num_examples"])
        assert info.num_validation == pytest.approx(int(row["num_examples"]) / 4, abs=0.5)
        assert info.num_features == int(row["num_features"]) - 1
        assert info.num_classes <= int(row["num_classes"])  # which counts the gaps
        leaks = [note for note in info.notes if "with the label" in note]
        assert bool(leaks) == (name == "arrhythmia")  # its second leak: column 199
        assert not any("differs" in note for note in info.notes)


def test_audit_finds_the_label_in_every_released_file(release: Path) -> None:
    table = audit_table(DataOptions("authors", str(release)), ())
    assert table.summary.startswith("46 of 46 released sets carry the label as their last column")
    assert table.summary.endswith("a leak that stays: arrhythmia (column 199, counted from 0)")
    others = {row[0]: row[-1] for row in table.rows if row[-1] != "-"}
    assert others == {"arrhythmia": "column 199 one-to-one"}
    partial = {row[0] for row in table.rows if row[1] == "test only"}
    assert partial == WITHOUT_TRAINING_FEATURES
    assert not table.ok


@pytest.mark.parametrize("part", ["train", "test"])
def test_infinite_value_is_named(made: DataOptions, tmp_path: Path, part: str) -> None:
    path = tmp_path / f"imp_iris_{part}X.csv"
    lines = path.read_text().splitlines()
    lines[0] = ",".join(["inf", *lines[0].split(",")[1:]])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="data set iris: a value of 'column 0' is infinite"):
        datasets.describe("iris", made, 0)


def test_one_class_is_named(made: DataOptions, tmp_path: Path) -> None:
    for part, rows in (("train", 120), ("test", 30)):
        (tmp_path / f"iris_{part}Y.csv").write_text("1\n" * rows)
    with pytest.raises(ValueError, match=r"data set iris: has only one class \(1\)"):
        datasets.describe("iris", made, 0)
