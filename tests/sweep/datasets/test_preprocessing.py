"""The scaling of a data set as shift and scale, for networks that take raw rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweep import datasets
from sweep.datasets import DataOptions, loading

BUNDLED = DataOptions("bundled")


def folder(root: Path, text: str, entry: str) -> DataOptions:
    (root / "mine.csv").write_text(text)
    (root / "mine.yaml").write_text(f"name: mine\n{entry}\n")
    return DataOptions("folder", str(root))


@pytest.mark.parametrize("split_seed", [0, 3])
@pytest.mark.parametrize("name", ["iris", "optical-recognition-handwritten-digits"])
def test_raw_rows_become_the_inputs_of_training(name: str, split_seed: int) -> None:
    made = datasets.preprocessing(name, "standardized", BUNDLED, split_seed)
    data = datasets.load(name, "standardized", BUNDLED, split_seed)
    raw, rows = datasets.raw_and_split(name, BUNDLED, split_seed)
    for part, own in ((data.train, rows.train), (data.test, rows.test)):
        np.testing.assert_allclose(made.inputs(raw.x[own]), part.x, rtol=3e-7, atol=1e-12)
        weight, bias = made.layer()
        np.testing.assert_allclose(weight * raw.x[own] + bias, part.x, rtol=1e-6, atol=1e-6)


def test_shift_and_scale_are_mean_and_deviation_of_the_training_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(5.0, 3.0, (50, 2))
    lines = [f"{a!r},7,{'' if i % 9 == 0 else repr(b)},{'ab'[i % 2]}"
             for i, (a, b) in enumerate(rows.tolist())]  # fmt: skip
    options = folder(tmp_path, "\n".join(["f,same,g,class", *lines]), "target: class")
    made = datasets.preprocessing("mine", "standardized", options, 0)
    train = datasets.raw_and_split("mine", options, 0)[1].train
    known = [i for i in train.tolist() if i % 9]
    assert made.shift is not None
    assert made.scale is not None
    assert made.shift[0] == pytest.approx(rows[train, 0].mean(), rel=1e-12)
    assert made.scale[0] == pytest.approx(rows[train, 0].std(), rel=1e-12)
    assert made.shift[2] == pytest.approx(rows[known, 1].mean(), rel=1e-12)
    assert made.scale[2] == pytest.approx(rows[known, 1].std(), rel=1e-12)
    assert made.scale[1] == np.inf
    assert made.layer()[0][1] == made.layer()[1][1] == 0.0
    np.testing.assert_array_equal(made.inputs(np.array([[made.shift[0], 8.0, np.nan]])), [[0] * 3])


def test_names_of_inputs_classes_and_categories_travel_along(tmp_path: Path) -> None:
    rows = [
        f"{['red', 'green', 'blue'][i % 3]},{i},{'yn'[i % 2]},{'ab'[i % 2]}" for i in range(30)
    ]
    options = folder(tmp_path, "\n".join(["c,f,d,class", *rows]), "categorical: one-hot")
    made = datasets.preprocessing("mine", "standardized", options, 0)
    assert made.feature_names == ("c=blue", "c=green", "c=red", "f", "d=y")
    assert made.class_names == ("a", "b")
    assert made.input_shape == (5,)
    assert made.groups == (
        datasets.OneHot("c", ("blue", "green", "red"), (0, 1, 2)),
        datasets.OneHot("d", ("n", "y"), (4,)),
    )


def test_facts_that_were_kept_on_disk_have_names_and_groups(tmp_path: Path) -> None:
    rows = [f"{'xyz'[i % 3]},{i},{'ab'[i % 2]}" for i in range(30)]
    options = folder(tmp_path, "\n".join(["c,f,class", *rows]), "categorical: one-hot")
    first = datasets.describe("mine", options, 0)
    for function in (loading.read_raw, loading._measured, loading._recorded):
        function.cache_clear()
    second = loading._recorded("mine", options, 0)
    assert second is not None
    for name in ("feature_names", "class_names", "groups", "notes"):
        assert getattr(first, name) == getattr(second, name) != ()


def test_pixels_are_divided_by_255_and_images_of_their_own_scale_are_not_affine(
    tmp_path: Path,
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1300, 4, 4), dtype=np.uint8)
    np.savez(
        tmp_path / "mine.npz",
        **{"x_train": images[:1200], "y_train": np.arange(1200) % 3},
        **{"x_test": images[1200:], "y_test": np.arange(100) % 3},
    )
    options = DataOptions("folder", str(tmp_path))
    unit = datasets.preprocessing("mine", "unit", options, 0)
    test = datasets.load("mine", "unit", options, 0).test.x
    np.testing.assert_allclose(unit.inputs(images[1200:]), test, rtol=2e-7)
    assert unit.input_shape == (4, 4, 1)
    own = datasets.preprocessing("mine", "standardized", options, 0)
    assert not own.is_affine
    test = datasets.load("mine", "standardized", options, 0).test.x
    np.testing.assert_array_equal(own.inputs(images[1200:].reshape(100, 16)), test)
    with pytest.raises(ValueError, match="and is no affine layer; allowed"):
        own.layer()


def test_wrong_scaling_and_rows_are_one_line() -> None:
    with pytest.raises(ValueError, match="scaling='unit' is not allowed for iris"):
        datasets.preprocessing("iris", "unit", BUNDLED, 0)
    made = datasets.preprocessing("iris", "standardized", BUNDLED, 0)
    with pytest.raises(ValueError, match=r"raw rows \[3, 5\]: must be \[N, 4\]"):
        made.inputs(np.zeros((3, 5)))
