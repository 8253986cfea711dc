"""Source `drs`: the L1 benchmark of Horvath et al. 2022, "(De-)Randomized Smoothing for Decision
Stump Ensembles" (NeurIPS), as far as its data are at hand.

`data.root` is a folder with `drs/breast-cancer-original.csv`, `drs/diabetes.csv` (UCI's and Pima
Indians' files, in their order) and MNIST's idx files in `mnist/`. Their protocol: the last fifth
of a table's rows in file order are the test part, features go to [0, 1] by the range of the rows
before; of MNIST two digits at a time, pixels in [0, 1], with MNIST's own test images. Rows with
missing values are dropped. Their loader keeps the patient's id as a feature of the breast cancer
set, which tells nothing of a patient; it is left out here.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sweep.datasets import image_files
from sweep.datasets.values import DataOptions, FloatArray, RawData

NEEDS_ROOT = True
_MNIST = "MNIST"


@dataclass(frozen=True)
class _Table:
    """A table's file and how it is read; the class is its last column."""

    file: str
    header: bool
    skipped: int  # columns before the features
    classes: tuple[str, str]  # of the smaller and the larger code
    features: tuple[str, ...] = ()  # where the file does not name them


_TABLES = {
    "drs-breast-cancer": _Table(
        "drs/breast-cancer-original.csv",
        header=False,
        skipped=1,
        classes=("benign", "malignant"),
        features=(
            *("clump_thickness", "cell_size_uniformity", "cell_shape_uniformity"),
            *("marginal_adhesion", "epithelial_cell_size", "bare_nuclei", "bland_chromatin"),
            *("normal_nucleoli", "mitoses"),
        ),
    ),
    "drs-diabetes": _Table(
        "drs/diabetes.csv", header=True, skipped=0, classes=("negative", "positive")
    ),
}
_PAIRS = {"drs-mnist-1v5": (1, 5), "drs-mnist-2v6": (2, 6)}


def names(root: str | None = None) -> tuple[str, ...]:
    """Return the names of the benchmark's data sets."""
    return (*_TABLES, *_PAIRS)


def files(name: str, options: DataOptions) -> tuple[Path, ...]:
    """Return the files of a data set.

    Raises:
        ValueError: there is none.
    """
    root = options.folder()
    if name in _PAIRS:
        found = image_files.find(_MNIST, root)
        if not found:
            raise ValueError(f"data set {name}: no {image_files.describe(_MNIST)[0]} in {root}")
        return tuple(found)
    path = root / _TABLES[name].file
    if not path.is_file():
        raise ValueError(f"data set {name}: {path} is missing")
    return (path,)


def read(name: str, options: DataOptions) -> RawData:
    """Read one data set.

    Raises:
        ValueError: a file is missing or malformed.
    """
    found = files(name, options)
    if name in _PAIRS:
        return _pair(image_files.read(_MNIST, found), _PAIRS[name])
    return _table(found[0], _TABLES[name])


def _pair(raw: RawData, digits: tuple[int, int]) -> RawData:
    """Return the images of two digits."""
    chosen = np.isin(raw.y, digits)
    num_test = int(chosen[len(raw.y) - raw.num_test :].sum())
    labels = (raw.y[chosen] == digits[1]).astype(np.int64)
    return RawData(raw.x[chosen], labels, tuple(map(str, digits)), num_test=num_test)


def _table(path: Path, table: _Table) -> RawData:
    header, rows = _rows(path, table)
    codes, labels = np.unique(rows[:, -1], return_inverse=True)
    if len(codes) != len(table.classes):
        raise ValueError(f"{path}: the last column has {len(codes)} values, expected two classes")
    x = rows[:, table.skipped : -1]
    names = table.features or header[table.skipped : -1]
    if len(names) != x.shape[1]:
        raise ValueError(f"{path}: {x.shape[1]} features, expected {len(names)}")
    num_train = int(0.8 * len(x))
    return RawData(
        x=x,
        y=labels.astype(np.int64),
        classes=table.classes,
        features=tuple(names),
        num_test=len(x) - num_train,
        ranges=(tuple(x[:num_train].min(axis=0)), tuple(x[:num_train].max(axis=0))),
    )


def _rows(path: Path, table: _Table) -> tuple[list[str], FloatArray]:
    """Return the header, if there is one, and the rows without missing values."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.reader(file) if line]
    header = lines[0] if table.header and lines else []
    body = [line for line in lines[len(header) > 0 :] if "?" not in line]
    try:
        rows = np.array(body, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path}: not a table of numbers: {error}") from None
    if rows.ndim != 2 or len(rows) < 2:
        raise ValueError(f"{path}: not a table of at least two rows")
    return header, rows
