"""The values that data sets are made of, before and after splitting and scaling.

Legend: N rows, D input features (the paper's M), K classes, H W C image height, width, channels.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ID_SHARE = 0.95  # of rows with a value of their own, from which a column may name the rows
ID_ROWS = 10  # of no more rows than these each may have a value of its own by chance
UNLOADED = "unloaded"  # DatasetInfo.hash of a data set that only the catalog describes


@dataclass(frozen=True)
class DataOptions:
    """Where data sets come from; the `data` part of the config.

    Args:
        source: a file in `sweep/datasets/sources/`, by name.
        root: folder of the files (`authors`, `folder`) or of the cache (`openml`); made absolute.
        keep_target_column: keep the label as the last feature, to reproduce the leak in the
            authors' release; every record is then marked leaky.
        catalog: folder of the user's own entries (`sweep.datasets.own`); made absolute.
        timeout_seconds: how long a server may say nothing before a download is tried again.
    """

    source: str = "bundled"
    root: str | None = None
    keep_target_column: bool = False
    timeout_seconds: float = field(default=60.0, compare=False)  # changes no data
    catalog: str | None = None

    def __post_init__(self) -> None:
        # Workers that receive this may run in another folder.
        for name in ("root", "catalog"):
            given = getattr(self, name)
            if given is not None:
                # Of a user that is not known, ~ stays, which `folder` then names.
                path = os.path.expanduser(given)  # noqa: PTH111
                object.__setattr__(self, name, str(Path(path).resolve()))

    def folder(self) -> Path:
        """Return `root` as a folder.

        Raises:
            ValueError: it is not given, or not a folder.
        """
        if self.root is None:
            raise ValueError(
                f"data.root is not set: data.source={self.source} needs the folder of the files "
                "(or `root` in the data set's own entry)"
            )
        path = Path(self.root)
        if not path.is_dir():
            raise ValueError(f"data.root={self.root!r} is not a folder")
        return path


@dataclass(frozen=True)
class Indices:
    """Row numbers of the three splits, each ascending and disjoint from the others."""

    train: IntArray
    validation: IntArray
    test: IntArray


@dataclass(frozen=True)
class OneHot:
    """The inputs that one column with categories became.

    Args:
        column: its name.
        values: its categories, in the order of the inputs; of two, the second has the one input.
        inputs: positions of the inputs among the D, ascending.
    """

    column: str
    values: tuple[str, ...]
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class RawData:
    """What a source reads: arrays before the split and the scaling.

    Args:
        x: [N, D] float64 with NaN where missing (tabular), or [N, H, W, C] uint8 (vision).
        y: [N] class codes 0..K-1, every one of which occurs.
        classes: the K original labels, in the order of their codes.
        features: the D feature names; empty for vision.
        num_test: if positive, the last `num_test` rows are the test split, as published.
        split: the whole split, where the source publishes it.
        leaky: the label is the last feature.
        notes: what a user should know about this data, one line each.
        groups: the features that are one-hot encoded, by the column they come from.
        missing, decimal: what a CSV file was read with beside the usual; new rows are read so.
        ranges: of a table whose benchmark scales it by the range of certain rows, the least and
            the largest value of each feature there, [2][D]; its only scaling is then `unit`.
    """

    x: NDArray[np.generic]
    y: IntArray
    classes: tuple[str, ...]
    features: tuple[str, ...] = ()
    num_test: int = 0
    split: Indices | None = None
    leaky: bool = False
    notes: tuple[str, ...] = ()
    groups: tuple[OneHot, ...] = ()
    missing: tuple[str, ...] = ()
    decimal: str = "."
    ranges: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    @property
    def is_vision(self) -> bool:
        """Whether the rows are images."""
        return self.x.ndim == 4


@dataclass(frozen=True)
class DatasetInfo:
    """What planning needs to know of a data set under one split.

    Args:
        hash: 16 hex digits over the raw arrays, the labels and the split, or `UNLOADED`.
        num_features: D, of the arrays that a network sees (after one-hot encoding).
        input_shape: (D,), or (H, W, C) for images, which are flattened in this order.
        leaky: the label is one of the features.
        scalings: the scalings that this data set allows.
        notes: doubts and findings, one line each.
        pixel_scale: of images, the mean deviation that scaling `standardized` divides by, in
            pixels from 0 to 1; None of other data, and of images that were not read yet.
        feature_names: of the D inputs; empty for images, and for data that were not read yet.
        class_names: the K original labels, in the order of their codes; empty if not read yet.
        groups: the inputs that are one-hot encoded, by the column they come from.
        costs: what moving each of the D inputs by 1 in the scaled space costs, infinite where it
            cannot be moved (`sweep.datasets.costs`); None where the entry names no costs. Of data
            that were not read yet, 1 for all.
        costs_hash: 16 hex digits over the costs of the inputs as the entry has them, the same for
            every split, or `UNLOADED`; None where it names none.
    """

    name: str
    source: str
    hash: str
    num_features: int
    num_classes: int
    num_train: int
    num_validation: int
    num_test: int
    input_shape: tuple[int, ...]
    leaky: bool
    scalings: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)
    pixel_scale: float | None = None
    feature_names: tuple[str, ...] = field(default=(), compare=False, repr=False)
    class_names: tuple[str, ...] = field(default=(), compare=False, repr=False)
    groups: tuple[OneHot, ...] = field(default=(), compare=False, repr=False)
    costs: tuple[float, ...] | None = field(default=None, repr=False)
    costs_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Split:
    """One part of a data set: x [N, D] float32, y [N] int64."""

    x: NDArray[np.float32]
    y: IntArray


@dataclass(frozen=True)
class Dataset:
    """A data set as networks see it.

    The arrays are shared by everybody who loads the same data set in this process: do not write
    to them. `bounds` is the valid input range, (0, 1) for scaling `unit`, else unbounded.
    """

    info: DatasetInfo
    scaling: str
    train: Split
    validation: Split
    test: Split
    bounds: tuple[float, float]
