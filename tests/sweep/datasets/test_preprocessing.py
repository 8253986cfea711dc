"""The scaling that is kept with a network makes the inputs that it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sweep import datasets
from sweep.datasets import DataOptions, OneHot, loading
from sweep.datasets.preprocessing import preprocessing


def inputs_of(name: str, scaling: str, options: DataOptions) -> tuple[np.ndarray, np.ndarray]:
    """The test rows as the kept scaling makes them of raw ones, and as networks see them."""
    raw, indices = datasets.raw_and_split(name, options, 0)
    rows = torch.tensor(np.asarray(raw.x)[indices.test].astype(np.float64)).flatten(1)
    found = preprocessing(name, scaling, options, 0).layer()(rows)
    return found.numpy(), datasets.load(name, scaling, options, 0).test.x


@pytest.mark.parametrize("name", ["iris", "wine", "optical-recognition-handwritten-digits"])
def test_table_is_scaled_bit_by_bit_as_in_training(name: str) -> None:
    found, wanted = inputs_of(name, "standardized", DataOptions("bundled"))
    np.testing.assert_array_equal(found, wanted)
    rule = preprocessing(name, "standardized", DataOptions("bundled"), 0)
    assert len(rule.features) == rule.num_features == wanted.shape[1]


def test_names_of_classes_and_features_travel() -> None:
    rule = preprocessing("iris", "standardized", DataOptions("bundled"), 0)
    assert len(rule.classes) == 3
    assert "petal" in rule.features[2]


@pytest.fixture
def images(tmp_path: Path) -> DataOptions:
    """Small images beside a missing value in a table, in files of one's own."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1300, 4, 4, 2)).astype(np.uint8)
    x[3, :, :, 0] = 9
    np.savez(tmp_path / "small.npz", x=x, y=np.arange(1300) % 3)
    lines = [f"{i if i % 7 else ''},{i * i},3,{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,c,target", *lines]))
    return DataOptions("folder", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "scaling", "bounds"),
    [
        ("small", "unit", (0.0, 1.0)),
        ("small", "standardized", (-np.inf, np.inf)),
        ("table", "standardized", (-np.inf, np.inf)),
    ],
)
def test_images_and_missing_values_are_scaled_as_in_training(
    name: str, scaling: str, bounds: tuple[float, float], images: DataOptions
) -> None:
    found, wanted = inputs_of(name, scaling, images)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    assert preprocessing(name, scaling, images, 0).bounds == bounds


def test_scaling_that_the_data_lack_is_named() -> None:
    with pytest.raises(ValueError, match="scaling='unit': not allowed for iris; known: standard"):
        preprocessing("iris", "unit", DataOptions("bundled"), 0)


@pytest.fixture
def categories(tmp_path: Path) -> DataOptions:
    """A table with a column of three categories and one of two."""
    rows = [
        f"{['red', 'green', 'blue'][i % 3]},{i},{'yn'[i % 2]},{'ab'[i % 2]}" for i in range(30)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["c,f,d,class", *rows]))
    (tmp_path / "mine.yaml").write_text("name: mine\ncategorical: one-hot\n")
    return DataOptions("folder", str(tmp_path))


def test_inputs_made_of_categories_are_named(categories: DataOptions) -> None:
    made = preprocessing("mine", "standardized", categories, 0)
    assert made.features == ("c=blue", "c=green", "c=red", "f", "d=y")
    assert made.classes == ("a", "b")
    assert datasets.describe("mine", categories, 0).groups == (
        OneHot("c", ("blue", "green", "red"), (0, 1, 2)),
        OneHot("d", ("n", "y"), (4,)),
    )


def test_texts_for_no_value_and_decimal_commas_travel(tmp_path: Path) -> None:
    rows = [f"{i},5;{'-' if i % 7 else i};{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["f;g;class", *rows]))
    (tmp_path / "mine.yaml").write_text("name: mine\ndecimal: ','\nmissing: ['-']\n")
    made = preprocessing("mine", "standardized", DataOptions("folder", str(tmp_path)), 0)
    assert (made.missing, made.decimal) == (("-",), ",")


def test_facts_that_were_kept_on_disk_have_names_and_groups(categories: DataOptions) -> None:
    first = datasets.describe("mine", categories, 0)
    for function in (loading.read_raw, loading._measured, loading._recorded):
        function.cache_clear()
    second = loading._recorded("mine", categories, 0)
    assert second is not None
    for name in ("feature_names", "class_names", "groups", "notes"):
        assert getattr(first, name) == getattr(second, name) != ()
