"""Source `drs`: the L1 benchmark's files, by its protocol."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from sweep import datasets
from sweep.datasets import DataOptions
from sweep.datasets.loading import read_raw
from sweep.datasets.preprocessing import preprocessing
from sweep.datasets.sources import drs
from tests.conftest import SHARED

ROWS = 40


@pytest.fixture
def made(tmp_path: Path) -> DataOptions:
    """Files of the benchmark's layout; one row of the first lacks a value."""
    (tmp_path / "drs").mkdir()
    generator = np.random.default_rng(0)
    x = generator.integers(1, 11, size=(ROWS, 9))
    cancer = [
        f"{1000 + i}," + ",".join(map(str, row)) + f",{2 + 2 * (i % 2)}" for i, row in enumerate(x)
    ]
    gap = "999,5,1,1,1,2,?,3,1,1,2"
    (tmp_path / drs._TABLES["drs-breast-cancer"].file).write_text("\n".join([gap, *cancer]) + "\n")
    header = "a,b,Outcome"
    body = [f"{i},{i % 7 / 2},{i % 2}" for i in range(ROWS)]
    (tmp_path / drs._TABLES["drs-diabetes"].file).write_text("\n".join([header, *body]) + "\n")
    return DataOptions("drs", str(tmp_path))


def test_id_and_rows_with_gaps_are_left_out(made: DataOptions) -> None:
    raw, _ = read_raw("drs-breast-cancer", made)
    assert raw.x.shape == (ROWS, 9)
    assert raw.x.max() <= 10  # ids are about 1000
    assert raw.features[5] == "bare_nuclei"
    assert raw.classes == ("benign", "malignant")
    assert raw.y.tolist() == [i % 2 for i in range(ROWS)]


def test_last_fifth_is_the_test_part_and_the_rest_gives_the_range(made: DataOptions) -> None:
    data = datasets.load("drs-diabetes", "unit", made, 0)
    raw, _ = read_raw("drs-diabetes", made)
    before = raw.x[: ROWS * 4 // 5]
    expected = (raw.x[ROWS * 4 // 5 :] - before.min(axis=0)) / np.ptp(before, axis=0)
    np.testing.assert_allclose(data.test.x, expected, rtol=1e-6)
    assert data.test.x.max() > 1  # beyond the range of the rows before
    seen = np.concatenate([data.train.x, data.validation.x])
    assert (seen.min(), seen.max()) == (0, 1)
    assert len(seen) == ROWS * 4 // 5
    assert data.bounds == (-np.inf, np.inf)


def test_only_scaling_is_the_benchmark_s(made: DataOptions) -> None:
    assert datasets.describe("drs-diabetes", made, 0).scalings == ("unit",)
    with pytest.raises(ValueError, match="scaling='standardized' is not allowed.*allowed: unit"):
        datasets.load("drs-diabetes", "standardized", made, 0)


def test_rule_for_raw_features_gives_the_inputs(made: DataOptions) -> None:
    data = datasets.load("drs-breast-cancer", "unit", made, 0)
    raw, indices = datasets.raw_and_split("drs-breast-cancer", made, 0)
    rule = preprocessing("drs-breast-cancer", "unit", made, 0).layer()
    rows = torch.as_tensor(np.asarray(raw.x[indices.test], dtype=np.float64))
    np.testing.assert_array_equal(rule(rows).numpy(), data.test.x)


def test_pairs_of_digits_keep_mnist_s_test_images(tmp_path: Path) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    for part, count in (("train", 2400), ("t10k", 60)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.repeat(labels, 16).reshape(count, 4, 4)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    raw, _ = read_raw("drs-mnist-2v6", DataOptions("drs", str(tmp_path)))
    assert raw.num_test == 12
    assert raw.classes == ("2", "6")
    assert raw.x.shape == (492, 4, 4, 1)
    assert (raw.x[:, 0, 0, 0] == np.where(raw.y == 1, 6, 2)).all()


def write_idx(path: Path, array: np.ndarray) -> None:
    head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


DAMAGES = {
    "missing": (None, "drs-diabetes: .*diabetes.csv is missing"),
    "no numbers": ("a,b,Outcome\n1,x,0\n2,3,1\n", "not a table of numbers"),
    "ragged": ("a,b,Outcome\n1,0\n2,3,1\n", "not a table of numbers"),
    "empty": ("", "not a table of at least two rows"),
    "one class": ("a,b,Outcome\n1,1,0\n2,3,0\n", "expected two classes"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_file_that_does_not_fit_is_named_in_one_line(made: DataOptions, damage: str) -> None:
    text, message = DAMAGES[damage]
    path = made.folder() / "drs" / "diabetes.csv"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        drs.read("drs-diabetes", made)
    assert "\n" not in str(error.value)


def test_missing_mnist_is_named(made: DataOptions) -> None:
    with pytest.raises(ValueError, match="drs-mnist-1v5: no mnist/train-images"):
        drs.files("drs-mnist-1v5", made)


def test_real_tables_have_the_benchmark_s_sizes() -> None:
    root = SHARED / "data"
    if not (root / "drs").is_dir():
        pytest.skip("../shared is absent")
    options = DataOptions("drs", str(root))
    cancer, diabetes = (drs.read(name, options) for name in ("drs-breast-cancer", "drs-diabetes"))
    assert (cancer.x.shape, diabetes.x.shape) == ((683, 9), (768, 8))
    assert (cancer.num_test, diabetes.num_test) == (137, 154)
