"""Source `bundled`: the four UCI sets that scikit-learn ships. Works without a network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from sweep.datasets.cache import cache_folder, load_arrays, save_arrays
from sweep.datasets.values import DataOptions, RawData
from sweep.hashing import content_hash

NEEDS_ROOT = False

_DIGITS_NOTE = (
    "scikit-learn ships UCI's test file (1797 rows); the paper used UCI's training file (3823)"
)
_IRIS_NOTE = "scikit-learn's copy follows Fisher's paper: 2 of 150 rows differ from UCI's file"

# Our name -> (function of sklearn.datasets, notes)
_LOADERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "iris": ("load_iris", (_IRIS_NOTE,)),
    "wine": ("load_wine", ()),
    "breast-cancer-wisconsin-diagnostic": ("load_breast_cancer", ()),
    "optical-recognition-handwritten-digits": ("load_digits", (_DIGITS_NOTE,)),
}


def names(root: str | None = None) -> tuple[str, ...]:
    """Return the names of the bundled data sets."""
    return tuple(_LOADERS)


def files(name: str, options: DataOptions) -> tuple[Path, ...]:
    """Return no files: these sets are part of a package."""
    return ()


def read(name: str, options: DataOptions) -> RawData:
    """Read one bundled data set, from the cache if it was read before.

    Importing scikit-learn takes seconds, which every worker of a sweep would wait.
    """
    rules = content_hash([metadata.version("scikit-learn"), *_LOADERS[name]])
    path = cache_folder(options) / "bundled" / f"{name}-{rules}.npz"
    raw = load_arrays(path)
    if raw is None:
        raw = _from_package(name)
        with contextlib.suppress(OSError):  # a cache that cannot be written is left
            save_arrays(path, raw)
    return raw


def _from_package(name: str) -> RawData:
    import sklearn.datasets

    function, notes = _LOADERS[name]
    load: Callable[[], Any] = getattr(sklearn.datasets, function)
    bunch = load()
    return RawData(
        x=np.asarray(bunch.data, dtype=np.float64),
        y=np.asarray(bunch.target, dtype=np.int64),
        classes=tuple(str(label) for label in bunch.target_names),
        features=tuple(str(feature) for feature in bunch.feature_names),
        notes=notes,
    )
