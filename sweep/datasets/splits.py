"""Row numbers of training, validation and test, by the paper's protocol (section 6.1).

80% of the rows for training and 20% for testing; a quarter of the training rows is validation.
Randomness is the raw output of PCG64, which NumPy keeps stable, so splits do not depend on the
platform or the version.
"""

from __future__ import annotations

import numpy as np

from sweep.datasets.values import Indices, IntArray, RawData
from sweep.hashing import content_hash

VISION_VALIDATION_ROWS = 1000
# With five rows a class can have one test row, one validation row and three training rows.
MIN_STRATIFIED = 5


def shuffled(num_rows: int, name: str, split_seed: int, purpose: str) -> IntArray:
    """Return a permutation of `num_rows` that depends on the three names only."""
    seed = int(content_hash([name, split_seed, purpose]), 16)
    keys = np.asarray(np.random.PCG64(seed).random_raw(num_rows), dtype=np.uint64)
    return keys.argsort(kind="stable").astype(np.int64)


def _quotas(counts: IntArray, num_taken: int) -> IntArray:
    """Share `num_taken` among classes in proportion to `counts` (largest remainders)."""
    exact = counts * (num_taken / int(counts.sum()))
    quotas = exact.astype(np.int64)
    by_remainder = np.argsort(quotas - exact, kind="stable")
    quotas[by_remainder[: num_taken - int(quotas.sum())]] += 1
    return quotas


def take(y: IntArray, num_taken: int, order: IntArray, stratified: bool) -> IntArray:
    """Choose rows in the given order, in proportion to the classes if stratified.

    Args:
        y: labels, [N], 0..K-1.
        order: a permutation of the N rows.

    Returns:
        `num_taken` row numbers, ascending.
    """
    if not stratified:
        return np.sort(order[:num_taken])
    labels = y[order]
    quotas = _quotas(np.bincount(y), num_taken)
    chosen = [order[labels == label][:quota] for label, quota in enumerate(quotas)]
    return np.sort(np.concatenate(chosen))


def can_stratify(y: IntArray) -> bool:
    """Whether every class has enough members to be in all three splits."""
    return bool(np.bincount(y).min() >= MIN_STRATIFIED)


def _without(rows: IntArray, taken: IntArray) -> IntArray:
    """Return the rows that were not taken, ascending."""
    return np.setdiff1d(rows, taken, assume_unique=True)


def planned_sizes(num_rows: int, num_test: int, is_vision: bool) -> tuple[int, int, int]:
    """Return the rows of training, validation and test.

    Args:
        num_test: the published test rows; 0 takes a fifth of all rows.
    """
    test = num_test or num_rows - (8 * num_rows + 5) // 10
    outer = num_rows - test
    train = outer - VISION_VALIDATION_ROWS if is_vision else round(0.75 * outer)
    return train, outer - train, test


def split_rows(raw: RawData, name: str, split_seed: int) -> Indices:
    """Split the rows of a data set.

    Raises:
        ValueError: there are too few rows for three parts, or the source's only split is its own
            and another `split_seed` was asked for.
    """
    if raw.split is not None:
        if split_seed != 0:
            raise ValueError(
                f"split_seed={split_seed}: {name} comes with one published split; "
                "the only allowed value is 0"
            )
        return raw.split
    num_rows = len(raw.y)
    sizes = planned_sizes(num_rows, raw.num_test, raw.is_vision)
    if raw.num_test >= num_rows:
        raise ValueError(
            f"data set {name}: num_test={raw.num_test} of {num_rows} rows leaves none to train on"
        )
    if min(sizes) < 1:
        raise ValueError(f"data set {name}: {num_rows} rows are too few for three splits")
    stratified = can_stratify(raw.y)
    rows = np.arange(num_rows, dtype=np.int64)
    if raw.num_test:
        test = rows[num_rows - raw.num_test :]
    else:
        test = take(raw.y, sizes[2], shuffled(num_rows, name, split_seed, "test"), stratified)
    outer = _without(rows, test)
    order = shuffled(len(outer), name, split_seed, "validation")
    validation = outer[take(raw.y[outer], sizes[1], order, stratified)]
    return Indices(_without(outer, validation), validation, test)
