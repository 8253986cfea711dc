"""From a name to arrays: read, check, split, scale, and keep in memory what packs share."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from sweep.datasets.fingerprint import arrays_hash, dataset_hash
from sweep.datasets.scaling import scalings
from sweep.datasets.sources import source
from sweep.datasets.splits import split_rows
from sweep.datasets.values import DataOptions, Dataset, DatasetInfo, Indices, RawData, Split


def names(source_name: str, root: str | None = None) -> tuple[str, ...]:
    """Return the names of the data sets that a source offers.

    Args:
        root: the source's folder, where what it offers depends on it.

    Raises:
        ValueError: the source is unknown.
    """
    known: tuple[str, ...] = source(source_name).names(root)
    return known


def check_name(name: str, options: DataOptions) -> None:
    """Raise ValueError unless the source offers a data set of that name."""
    known = names(options.source, options.root)
    if name not in known:
        raise ValueError(
            f"data set {name!r} is unknown to data.source={options.source}; "
            f"known: {', '.join(known)}"
        )


def _with_target_column(raw: RawData) -> RawData:
    """Append the label as the last feature, as the authors' release has it."""
    return replace(
        raw,
        x=np.column_stack([raw.x.astype(np.float64), raw.y.astype(np.float64)]),
        features=(*raw.features, "target"),
        leaky=True,
    )


# Two raw sets at a time: a source is read once for all its splits and scalings.
@lru_cache(maxsize=2)
def read_raw(name: str, options: DataOptions) -> tuple[RawData, str]:
    """Return a data set's raw arrays and their hash."""
    check_name(name, options)
    raw: RawData = source(options.source).read(name, options)
    if options.keep_target_column and not raw.leaky:
        if raw.is_vision:
            raise ValueError(
                f"data.keep_target_column=true: {name} is a vision data set; "
                "only tabular data sets can keep the target as a feature"
            )
        raw = _with_target_column(raw)
    return raw, arrays_hash(raw)


@lru_cache(maxsize=1)
def _indices(name: str, options: DataOptions, split_seed: int) -> Indices:
    return split_rows(read_raw(name, options)[0], name, split_seed)


@lru_cache(maxsize=4096)
def describe(name: str, options: DataOptions, split_seed: int) -> DatasetInfo:
    """Return the facts of a data set, reading it on the first call.

    Raises:
        ValueError: the source or the name is unknown, or the data are unusable.
    """
    raw, raw_hash = read_raw(name, options)
    indices = _indices(name, options, split_seed)
    shape = raw.x.shape[1:]
    return DatasetInfo(
        name=name,
        source=options.source,
        hash=dataset_hash(raw_hash, indices),
        num_features=int(np.prod(shape)),
        num_classes=len(raw.classes),
        num_train=len(indices.train),
        num_validation=len(indices.validation),
        num_test=len(indices.test),
        input_shape=shape,
        leaky=raw.leaky,
        scalings=tuple(scalings(raw.is_vision)),
        notes=raw.notes,
    )


def planned(name: str, options: DataOptions, split_seed: int) -> DatasetInfo:
    """Return what is known of a data set without downloading anything."""
    return describe(name, options, split_seed)


# Four scaled sets at a time: workers take packs of one data set after another.
@lru_cache(maxsize=4)
def load(name: str, scaling: str, options: DataOptions, split_seed: int) -> Dataset:
    """Return a data set, split and scaled; the same object for the same arguments.

    Args:
        scaling: one of the data set's `info.scalings`.
        split_seed: which of the random splits.

    Raises:
        ValueError: the source, the name or the scaling is unknown, or the data are unusable.
    """
    info = describe(name, options, split_seed)
    if scaling not in info.scalings:
        raise ValueError(
            f"scaling={scaling!r} is not allowed for {name}; allowed: {', '.join(info.scalings)}"
        )
    raw, _ = read_raw(name, options)
    indices = _indices(name, options, split_seed)
    chosen = scalings(raw.is_vision)[scaling]
    x = chosen.scale(raw.x, indices.train)
    train, validation, test = (
        Split(x[rows], raw.y[rows]) for rows in (indices.train, indices.validation, indices.test)
    )
    return Dataset(info, scaling, train, validation, test, chosen.bounds)
