"""Source `authors`: a folder in the layout of the authors' release, with their split.

`imp_NAME_trainX.csv` and `imp_NAME_testX.csv` hold imputed, standardised features whose LAST
COLUMN IS THE STANDARDISED LABEL; it is dropped unless `data.keep_target_column=true`. The label
codes in `NAME_trainY.csv` and `NAME_testY.csv` start at 1 and have gaps. A column that was
constant is NaN throughout. The last quarter of the training rows is the validation split.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sweep.datasets.catalog import catalog
from sweep.datasets.values import DataOptions, FloatArray, Indices, IntArray, RawData

NEEDS_ROOT = True


def names(root: str | None = None) -> tuple[str, ...]:
    """Return the 46 UCI sets of the release."""
    return tuple(name for name, entry in catalog().items() if not entry.is_vision)


def part_files(root: Path, name: str, part: str) -> tuple[Path, Path]:
    """Return the feature and the label file of one part, `train` or `test`."""
    return root / f"imp_{name}_{part}X.csv", root / f"{name}_{part}Y.csv"


def files(name: str, options: DataOptions) -> tuple[Path, ...]:
    """Return the four files of a data set."""
    root = options.folder()
    return tuple(path for part in ("train", "test") for path in part_files(root, name, part))


def _numbers(path: Path) -> FloatArray:
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"{path} is missing: the release in this folder is not complete")
    try:
        frame = pd.read_csv(path, header=None, dtype=np.float64, encoding="utf-8-sig")
    except (ValueError, pd.errors.ParserError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    return frame.to_numpy()


def read_part(root: Path, name: str, part: str) -> tuple[FloatArray, IntArray]:
    """Read one part with all its columns, the label included, and its label codes.

    Returns:
        features [N, D + 1] and label codes [N].

    Raises:
        ValueError: a file is missing or malformed, or the two differ in length.
    """
    feature_file, label_file = part_files(root, name, part)
    x, labels = _numbers(feature_file), _numbers(label_file)
    if labels.shape[1] != 1 or len(labels) != len(x):
        raise ValueError(
            f"{label_file}: {labels.shape[0]} rows of {labels.shape[1]} labels for {len(x)} rows "
            f"of {feature_file.name}"
        )
    if not np.array_equal(labels, np.round(labels)):
        raise ValueError(f"{label_file}: labels must be whole numbers")
    return x, labels[:, 0].astype(np.int64)


def _published_split(num_train: int, num_test: int) -> Indices:
    kept = round(0.75 * num_train)
    rows = np.arange(num_train + num_test, dtype=np.int64)
    return Indices(rows[:kept], rows[kept:num_train], rows[num_train:])


def read(name: str, options: DataOptions) -> RawData:
    """Read one data set of the release.

    Raises:
        ValueError: a file is missing or malformed.
    """
    root = options.folder()
    (train_x, train_labels), (test_x, test_labels) = (
        read_part(root, name, part) for part in ("train", "test")
    )
    if train_x.shape[1] != test_x.shape[1]:
        raise ValueError(
            f"{name}: {train_x.shape[1]} columns for training, {test_x.shape[1]} for testing"
        )
    x = np.concatenate([train_x, test_x])
    columns = [f"column {i}" for i in range(x.shape[1] - 1)]
    if options.keep_target_column:
        columns.append("target")
    codes, y = np.unique(np.concatenate([train_labels, test_labels]), return_inverse=True)
    return RawData(
        x=np.ascontiguousarray(x[:, : len(columns)]),
        y=y.astype(np.int64),
        classes=tuple(str(code) for code in codes),
        features=tuple(columns),
        split=_published_split(len(train_x), len(test_x)),
        leaky=options.keep_target_column,
    )
