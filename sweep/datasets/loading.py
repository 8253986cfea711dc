"""From a name to arrays: read, check, split, audit, scale, and keep what packs share."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweep.datasets import costs
from sweep.datasets.audit import audit
from sweep.datasets.cache import read_facts, write_facts
from sweep.datasets.catalog import CATALOG, CatalogEntry, catalog
from sweep.datasets.checks import catalog_differences, require_usable, same_arrays
from sweep.datasets.fingerprint import arrays_hash, dataset_hash
from sweep.datasets.own import entry_of, is_described, located, own_file, own_names
from sweep.datasets.scaling import Scaling, pixel_scale, scalings
from sweep.datasets.sources import source
from sweep.datasets.splits import planned_sizes, split_rows
from sweep.datasets.values import (
    UNLOADED,
    DataOptions,
    Dataset,
    DatasetInfo,
    Indices,
    RawData,
    Split,
)
from sweep.errors import unknown

logger = logging.getLogger(__name__)
_DIFFERS = "differs from the catalog"


def names(source_name: str, root: str | None = None) -> tuple[str, ...]:
    """Return the names of the data sets that a source offers.

    Args:
        root: the source's folder, where what it offers depends on it.

    Raises:
        ValueError: the source is unknown.
    """
    known: tuple[str, ...] = source(source_name).names(root)
    return known


def check_root(options: DataOptions) -> None:
    """Raise ValueError unless the source is known and has the folder that it needs."""
    if source(options.source).NEEDS_ROOT:
        options.folder()


def check_name(name: str, options: DataOptions) -> None:
    """Raise ValueError unless its source can be used and offers a data set of that name."""
    options = located(name, options)
    check_root(options)
    if is_described(name, options):
        return
    known = names(options.source, options.root)
    if name not in known:
        raise ValueError(_unoffered(name, options, known))


def _unoffered(name: str, options: DataOptions, known: Sequence[str]) -> str:
    """Why there is no data set of that name, and what may be meant."""
    own = own_file(name, options)
    if own is not None:
        return f"{own}: names no file, and source {options.source!r} has no {name!r}"
    if Path(name).suffix and Path(name).is_file():
        return f"data set {name!r}: `robust-sweep data check {name}` makes a data set of a file"
    names_known = [*known, *own_names(options)]
    return unknown(f"data set of source {options.source!r}", name, names_known)


def _with_target_column(raw: RawData, name: str) -> RawData:
    """Append the label as the last feature, as the authors' release has it."""
    if raw.is_vision:
        raise ValueError(
            f"data.keep_target_column=true: {name} is a vision data set; "
            "only tabular data sets can keep the target as a feature"
        )
    return replace(
        raw,
        x=np.column_stack([raw.x.astype(np.float64), raw.y.astype(np.float64)]),
        features=(*raw.features, "target"),
        leaky=True,
    )


def _catalog_notes(name: str, options: DataOptions, raw: RawData, raw_hash: str) -> list[str]:
    """Compare local data with the catalog; what differs is noted and logged.

    Raises:
        ValueError: these are the arrays of another data set of the catalog.
    """
    twin = same_arrays(name, options.source, raw_hash)
    if twin is not None:
        raise ValueError(f"data set {name}: the files hold the arrays of {twin}")
    found = catalog_differences(entry_of(name, options), options.source, raw, raw_hash)
    for difference in found:
        logger.warning("%s %s: %s", name, _DIFFERS, difference)
    return [f"{_DIFFERS}: {difference}" for difference in found]


# Two raw sets at a time: a source is read once for all the splits and scalings of a set.
@lru_cache(maxsize=2)
def read_raw(name: str, options: DataOptions) -> tuple[RawData, str]:
    """Return a data set's raw arrays and their hash.

    Raises:
        ValueError: the source or the name is unknown, or the data are unusable.
    """
    check_name(name, options)
    options = located(name, options)
    raw: RawData = source(options.source).read(name, options)
    require_usable(raw, name)
    raw_hash = arrays_hash(raw)
    if not options.keep_target_column:
        notes = _catalog_notes(name, options, raw, raw_hash)
        return replace(raw, notes=(*raw.notes, *notes)), raw_hash
    if not raw.leaky:
        raw = _with_target_column(raw, name)
    return raw, arrays_hash(raw)


@lru_cache(maxsize=1)
def _indices(name: str, options: DataOptions, split_seed: int) -> Indices:
    return split_rows(read_raw(name, options)[0], name, split_seed)


def raw_and_split(name: str, options: DataOptions, split_seed: int) -> tuple[RawData, Indices]:
    """Return a data set before scaling, and its split.

    Raises:
        ValueError: the source or the name is unknown, or the data are unusable.
    """
    return read_raw(name, options)[0], _indices(name, options, split_seed)


def _absent_classes(raw: RawData, indices: Indices) -> tuple[str, ...]:
    present = np.bincount(raw.y[indices.train], minlength=len(raw.classes)) > 0
    absent = [label for label, there in zip(raw.classes, present, strict=True) if not there]
    return (f"classes without a training row: {', '.join(absent)}",) if absent else ()


def _audit_notes(name: str, raw: RawData, indices: Indices, is_own: bool) -> tuple[str, ...]:
    """Run the leak audit; leaks and own columns that number the rows are also logged."""
    findings = audit(raw, indices)
    for finding in findings:
        if finding.is_leak:
            logger.warning("%s: possible leak: %s", name, finding.detail)
        elif finding.kind == "id-like" and is_own:
            detail = f"{finding.detail}; if it is no measurement, ignore it in the entry"
            logger.warning("%s: %s", name, detail)
    return tuple(f"audit: {finding.detail}" for finding in findings)


@lru_cache(maxsize=256)
def _measured(name: str, options: DataOptions, split_seed: int) -> DatasetInfo:
    """Read, split and audit a data set, and record its facts for other processes."""
    raw, raw_hash = read_raw(name, options)
    at = located(name, options)
    indices = _indices(name, options, split_seed)
    for chosen in scalings(raw.is_vision, raw.ranges).values():
        scaled_inputs(raw, chosen, indices, name)
    entry = entry_of(name, options)
    shape = raw.x.shape[1:]
    info = DatasetInfo(
        name=name,
        source=at.source,
        hash=dataset_hash(raw_hash, indices),
        num_features=int(np.prod(shape)),
        num_classes=len(raw.classes),
        num_train=len(indices.train),
        num_validation=len(indices.validation),
        num_test=len(indices.test),
        input_shape=shape,
        leaky=raw.leaky,
        scalings=tuple(scalings(raw.is_vision, raw.ranges)),
        notes=(
            *raw.notes,
            *_absent_classes(raw, indices),
            *_audit_notes(name, raw, indices, at.source == "folder"),
            *costs.notes(entry, raw),
        ),
        pixel_scale=pixel_scale(raw.x, indices.train) if raw.is_vision else None,
        feature_names=raw.features,
        class_names=raw.classes,
        groups=raw.groups,
        costs=costs.feature_costs(entry, raw, indices, name),
        costs_hash=costs.costs_hash(entry, raw, name),
    )
    write_facts(info, at, split_seed, _files(name, at))
    return info


@lru_cache(maxsize=256)
def _recorded(name: str, options: DataOptions, split_seed: int) -> DatasetInfo | None:
    check_name(name, options)
    at = located(name, options)
    return read_facts(name, at, split_seed, _files(name, at))


def _files(name: str, options: DataOptions) -> tuple[Path, ...]:
    """Return the files that a data set is read from, the user's entry among them."""
    files: tuple[Path, ...] = source(options.source).files(name, options)
    entry = own_file(name, options)
    if entry is None and (shipped := catalog().get(name)) is not None and shipped.costs:
        entry = CATALOG / f"{name}.yaml"  # costs that are added to it are new facts
    return (*files, entry) if files and entry is not None else files


def describe(name: str, options: DataOptions, split_seed: int) -> DatasetInfo:
    """Return the facts of a data set; reads it, unless they were recorded and no file changed.

    What was made of a user's own table is logged when it is first read.

    Raises:
        ValueError: the source or the name is unknown, or the data are unusable.
    """
    recorded = _recorded(name, options, split_seed)
    if recorded is not None:
        return recorded
    info = _measured(name, options, split_seed)
    if info.source == "folder":
        _tell_choices(name, options)
    return info


@lru_cache(maxsize=256)
def _tell_choices(name: str, options: DataOptions) -> None:
    """Log what was made of a user's own table, once."""
    for note in read_raw(name, options)[0].notes:
        if not note.startswith(_DIFFERS):  # which was logged when it was found
            logger.warning("%s: %s", name, note)


def planned(name: str, options: DataOptions, split_seed: int) -> DatasetInfo:
    """Return what is known of a data set without downloading anything.

    For source openml this is what was recorded when it was first loaded, else the catalog's
    facts with hash `UNLOADED`: enough to count trials and packs, not to name them. Other sources
    are read.

    Raises:
        ValueError: the source or the name is unknown, or local data are unusable.
    """
    check_name(name, options)
    options = located(name, options)
    if options.source != "openml":
        return describe(name, options, split_seed)
    entry = entry_of(name, options) or CatalogEntry(name)
    recorded = _recorded(name, options, split_seed) if entry.openml is not None else None
    return recorded or _from_catalog(entry, options)


def _from_catalog(entry: CatalogEntry, options: DataOptions) -> DatasetInfo:
    known = entry.openml
    whole_union = known is not None and known.paper_rows is None
    rows = _told(entry, "rows", known.rows if known is not None and whole_union else entry.rows)
    features = _told(entry, "features", (known.inputs if known else None) or entry.features)
    features += options.keep_target_column
    train, validation, test = planned_sizes(rows, entry.num_test, entry.is_vision)
    return DatasetInfo(
        name=entry.name,
        source=options.source,
        hash=UNLOADED,
        num_features=features,
        num_classes=_told(entry, "classes", (known.classes if known else None) or entry.classes),
        num_train=train,
        num_validation=validation,
        num_test=test,
        input_shape=entry.input_shape or (features,),
        leaky=options.keep_target_column,
        scalings=tuple(scalings(entry.is_vision)),
        notes=() if entry.confidence == "confirmed" else (f"{entry.confidence}: {entry.notes}",),
        costs=None if entry.costs is None else (1.0,) * features,
        costs_hash=None if entry.costs is None else UNLOADED,
    )


def _told(entry: CatalogEntry, what: str, count: int | None) -> int:
    if not count:
        raise ValueError(
            f"data set {entry.name}: its catalog entry names no {what}, without which nothing can "
            "be planned before it is downloaded"
        )
    return count


def scaled_inputs(
    raw: RawData, scaling: Scaling, indices: Indices, name: str
) -> NDArray[np.float32]:
    """Return the inputs that networks see.

    Raises:
        ValueError: a value is infinite, or so far from the training rows that float32 does not
            hold it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        x = scaling.scale(raw.x, indices.train)
    lost = ~np.isfinite(x).all(axis=0)
    if raw.x.dtype.kind == "f":  # an infinite training value would make its column constant
        lost |= np.isinf(raw.x[indices.train]).any(axis=0)
    if lost.any():
        column = int(np.argmax(lost))
        label = raw.features[column] if raw.features else f"column {column}"
        raise ValueError(
            f"data set {name}: a value of {label!r} is infinite, or so far from those of the "
            "training rows that float32 does not hold it in units of their standard deviation; "
            "correct it, or ignore the column in the catalog entry"
        )
    return x


def check_scaling(scaling: str, info: DatasetInfo) -> None:
    """Raise ValueError unless the data set allows a scaling of that name."""
    if scaling not in info.scalings:
        allowed = ", ".join(info.scalings)
        raise ValueError(f"scaling={scaling!r} is not allowed for {info.name}; allowed: {allowed}")


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
    info = _measured(name, options, split_seed)
    check_scaling(scaling, info)
    raw, _ = read_raw(name, options)
    indices = _indices(name, options, split_seed)
    chosen = scalings(raw.is_vision, raw.ranges)[scaling]
    x = scaled_inputs(raw, chosen, indices, name)
    train, validation, test = (
        Split(x[rows], raw.y[rows]) for rows in (indices.train, indices.validation, indices.test)
    )
    return Dataset(info, scaling, train, validation, test, chosen.bounds)
