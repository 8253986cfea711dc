"""The four sets that scikit-learn ships, through the public functions."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sweep import datasets
from sweep.datasets import DataOptions
from sweep.datasets.fingerprint import arrays_hash
from sweep.datasets.sources import bundled

BUNDLED = DataOptions(source="bundled")
# Rows, features and classes as the UCI repository states them (digits: UCI's test file).
FACTS = {
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "breast-cancer-wisconsin-diagnostic": (569, 30, 2),
    "optical-recognition-handwritten-digits": (1797, 64, 10),
}


def test_bundled_names_are_the_four_sets() -> None:
    assert set(datasets.names("bundled")) == set(FACTS)


@pytest.mark.parametrize("name", FACTS)
def test_bundled_facts_match_uci(name: str) -> None:
    info = datasets.describe(name, BUNDLED, 0)
    rows = info.num_train + info.num_validation + info.num_test
    assert (rows, info.num_features, info.num_classes) == FACTS[name]
    assert info.input_shape == (info.num_features,)
    assert info.scalings == ("standardized",)
    assert not info.leaky


@pytest.mark.parametrize("name", FACTS)
def test_training_rows_are_standardised(name: str) -> None:
    data = datasets.load(name, "standardized", BUNDLED, 0)
    x = data.train.x.astype(np.float64)
    varies = x.std(axis=0) > 0
    assert data.train.x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(x.std(axis=0)[varies], 1.0, atol=1e-5)
    for split in (data.train, data.validation, data.test):
        assert np.all(split.x[:, ~varies] == 0.0)
        assert np.isfinite(split.x).all()
        assert split.y.dtype == np.int64
    assert data.bounds == (-math.inf, math.inf)


@pytest.mark.parametrize("name", FACTS)
def test_cached_set_is_the_packages(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bundled.read(name, BUNDLED)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # importing it fails from here on
    again = bundled.read(name, BUNDLED)
    assert arrays_hash(first) == arrays_hash(again)
    assert (first.classes, first.features, first.notes) == (
        *(again.classes, again.features, again.notes),
    )


def test_damaged_or_unwritable_cache_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = arrays_hash(bundled.read("iris", BUNDLED))
    (file,) = (tmp_path / "cache").rglob("iris-*.npz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert arrays_hash(bundled.read("iris", BUNDLED)) == whole
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert arrays_hash(bundled.read("iris", BUNDLED)) == whole


def test_protocol_sizes_of_iris() -> None:
    info = datasets.describe("iris", BUNDLED, 0)
    assert (info.num_train, info.num_validation, info.num_test) == (90, 30, 30)
    data = datasets.load("iris", "standardized", BUNDLED, 0)
    assert np.bincount(data.test.y).tolist() == [10, 10, 10]
    assert np.bincount(data.validation.y).tolist() == [10, 10, 10]


def test_digits_say_that_they_are_the_test_file() -> None:
    info = datasets.describe("optical-recognition-handwritten-digits", BUNDLED, 0)
    assert any("test file" in note for note in info.notes)


def test_load_returns_the_same_object_again() -> None:
    assert datasets.load("wine", "standardized", BUNDLED, 0) is datasets.load(
        "wine", "standardized", BUNDLED, 0
    )


def test_split_seeds_give_other_hashes_and_splits() -> None:
    first, second = (datasets.load("wine", "standardized", BUNDLED, seed) for seed in (0, 1))
    assert first.info.hash != second.info.hash
    assert not np.array_equal(first.test.x, second.test.x)


def test_kept_target_column_is_the_last_feature_and_marked() -> None:
    options = DataOptions(source="bundled", keep_target_column=True)
    data = datasets.load("iris", "standardized", options, 0)
    assert data.info.leaky
    assert data.info.num_features == 5
    assert np.corrcoef(data.test.x[:, -1], data.test.y)[0, 1] > 0.9999
    assert data.info.hash != datasets.describe("iris", BUNDLED, 0).hash


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: datasets.names("ftp"), ("data.source='ftp'", "bundled")),
        (lambda: datasets.describe("irsi", BUNDLED, 0), ("'irsi'", "iris, wine")),
        (lambda: datasets.load("iris", "unit", BUNDLED, 0), ("'unit'", "standardized")),
    ],
    ids=["source", "name", "scaling"],
)
def test_unknown_choice_is_one_line_that_lists_the_known(call: object, parts: object) -> None:
    with pytest.raises(ValueError, match=".") as error:
        call()  # type: ignore[operator]
    message = str(error.value)
    assert "\n" not in message
    for part in parts:  # type: ignore[attr-defined]
        assert part in message


def test_importing_loads_no_heavy_package() -> None:
    code = (
        "import sys, sweep.datasets; heavy = ['sklearn', 'openml', 'pandas', 'torch', 'pyarrow'];"
        "print([module for module in heavy if module in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
