"""The protocol's splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.datasets.fingerprint import arrays_hash, dataset_hash
from sweep.datasets.splits import planned_sizes, shuffled, split_rows
from sweep.datasets.values import RawData


def raw_data(y: np.ndarray, num_test: int = 0, shape: tuple[int, ...] = (1,)) -> RawData:
    x = np.zeros((len(y), *shape), dtype=np.uint8 if len(shape) == 3 else np.float64)
    classes = tuple(str(code) for code in range(int(y.max()) + 1))
    return RawData(x=x, y=y.astype(np.int64), classes=classes, num_test=num_test)


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=6), split_seed=st.integers(0, 2**31)
)
@settings(max_examples=50, deadline=None)
def test_every_row_is_in_exactly_one_split(counts: list[int], split_seed: int) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    sizes = planned_sizes(len(y), 0, False)
    if min(sizes) < 1:
        with pytest.raises(ValueError, match="too few"):
            split_rows(raw_data(y), "made", split_seed)
        return
    indices = split_rows(raw_data(y), "made", split_seed)
    parts = (indices.train, indices.validation, indices.test)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(y)))
    assert tuple(len(part) for part in parts) == sizes
    assert all(np.all(np.diff(part) > 0) for part in parts)


@given(counts=st.lists(st.integers(5, 200), min_size=2, max_size=6), split_seed=st.integers(0, 99))
@settings(max_examples=50, deadline=None)
def test_classes_keep_their_shares_where_all_have_five_members(
    counts: list[int], split_seed: int
) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    indices = split_rows(raw_data(y), "made", split_seed)
    for part in (indices.train, indices.validation, indices.test):
        expected = np.array(counts) * len(part) / len(y)
        found = np.bincount(y[part], minlength=len(counts))
        assert np.abs(found - expected).max() <= 1.5
        assert found.min() >= 1


def test_released_sizes_are_reproduced() -> None:
    # (rows, training rows with validation) of the authors' release
    for rows, outer in ((2534, 2027), (5456, 4365), (606, 485), (215, 172), (245057, 196046)):
        train, validation, test = planned_sizes(rows, 0, False)
        assert (train + validation, test) == (outer, rows - outer)


def test_vision_takes_a_thousand_validation_images_and_the_published_test_rows() -> None:
    y = np.arange(4000) % 10
    indices = split_rows(raw_data(y, num_test=500, shape=(1, 1, 1)), "made", 0)
    assert indices.test.tolist() == list(range(3500, 4000))
    assert len(indices.validation) == 1000
    assert np.bincount(y[indices.validation]).tolist() == [100] * 10


def test_split_depends_on_name_seed_and_purpose_alone() -> None:
    orders = [
        shuffled(50, name, seed, purpose).tolist()
        for name in ("a", "b")
        for seed in (0, 1)
        for purpose in ("test", "validation")
    ]
    assert len({tuple(order) for order in orders}) == len(orders)
    assert orders[0] == shuffled(50, "a", 0, "test").tolist()


def test_class_with_one_member_is_split_without_stratification() -> None:
    y = np.array([0] * 30 + [1] * 30 + [2])
    indices = split_rows(raw_data(y), "made", 0)
    assert len(indices.train) + len(indices.validation) + len(indices.test) == 61


def test_hash_changes_with_every_part() -> None:
    y = np.arange(20) % 2
    base = raw_data(y)
    first, second = split_rows(base, "made", 0), split_rows(base, "made", 1)
    assert dataset_hash(arrays_hash(base), first) != dataset_hash(arrays_hash(base), second)
    changed = RawData(x=base.x + 1, y=base.y, classes=base.classes)
    relabelled = RawData(x=base.x, y=1 - base.y, classes=base.classes)
    wider = RawData(x=base.x.reshape(10, 2), y=base.y, classes=base.classes)
    assert len({arrays_hash(raw) for raw in (base, changed, relabelled, wider)}) == 4


def test_hash_does_not_depend_on_byte_order_memory_layout_or_the_sign_of_zero() -> None:
    x = np.array([[0.0, np.nan], [1.5, -2.0]])
    y = np.array([0, 1])
    versions = (x, x.astype(">f8"), np.asfortranarray(x), np.where(x == 0, -0.0, x))
    assert len({arrays_hash(RawData(version, y, ("a", "b"))) for version in versions}) == 1
