"""The scaling that is kept with a network makes the inputs that it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sweep import datasets
from sweep.datasets import DataOptions
from sweep.pack.preprocessing import preprocessing_of


def inputs_of(name: str, scaling: str, options: DataOptions) -> tuple[np.ndarray, np.ndarray]:
    """The test rows as the kept scaling makes them of raw ones, and as networks see them."""
    raw, indices = datasets.raw_and_split(name, options, 0)
    rows = torch.tensor(np.asarray(raw.x)[indices.test].astype(np.float64)).flatten(1)
    found = preprocessing_of(name, scaling, options, 0).layer()(rows)
    return found.numpy(), datasets.load(name, scaling, options, 0).test.x


@pytest.mark.parametrize("name", ["iris", "wine", "optical-recognition-handwritten-digits"])
def test_table_is_scaled_bit_by_bit_as_in_training(name: str) -> None:
    found, wanted = inputs_of(name, "standardized", DataOptions("bundled"))
    np.testing.assert_array_equal(found, wanted)
    rule = preprocessing_of(name, "standardized", DataOptions("bundled"), 0)
    assert len(rule.features) == rule.num_features == wanted.shape[1]


def test_names_of_classes_and_features_travel() -> None:
    rule = preprocessing_of("iris", "standardized", DataOptions("bundled"), 0)
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
    assert preprocessing_of(name, scaling, images, 0).bounds == bounds


def test_scaling_that_the_data_lack_is_named() -> None:
    with pytest.raises(ValueError, match="scaling='unit': not allowed for iris; known: standard"):
        preprocessing_of("iris", "unit", DataOptions("bundled"), 0)
