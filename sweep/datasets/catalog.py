"""What is known about each data set: one file in `conf/catalog/` per set, checked when read.

`rows`, `features`, `classes` and `class_sizes` describe the set that the paper used (the labels
not counted as a feature); the `openml` part describes OpenML's copy, where it differs. A user's
own data set is one more file in `data.catalog`, or beside the data (source `folder`), with `file`
and `target`.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from sweep.files import reading_yaml
from sweep.installation import CONF

CATALOG = CONF / "catalog"
CATEGORICAL = ("refuse", "one-hot", "numeric")
MISSING_TARGET = ("refuse", "class", "drop")
LEAST_COST, LARGEST_COST = 1e-30, 1e30
COSTS_PER = ("deviation", "unit")
CONFIDENCES = ("confirmed", "unsure")


@dataclass(frozen=True)
class PaperRows:
    """Which rows of a union of UCI's training and test files the paper used.

    Args:
        first: the number of rows at the beginning.
        confidence: whether this was seen in a source; class sizes are checked in any case.
    """

    first: int
    confidence: str = "unsure"
    why: str = ""


@dataclass(frozen=True)
class OpenMLEntry:
    """OpenML's copy of a data set.

    Args:
        id: the data id.
        ignore: columns that are neither features nor the target.
        features: columns on OpenML except the target, before `ignore`.
        inputs: features that a network sees, where they are not those of the paper's set.
        planes_first: the pixel columns of an image run over channels first, then rows.
    """

    id: int
    target: str
    rows: int
    features: int
    name: str = ""
    ignore: tuple[str, ...] = ()
    classes: int | None = None
    inputs: int | None = None
    paper_rows: PaperRows | None = None
    planes_first: bool = False


@dataclass(frozen=True)
class CatalogEntry:
    """One data set; only the name is required.

    Args:
        input_shape: (H, W, C) of an image set; absent for tabular sets.
        num_test: the last rows are the published test split.
        file: path below the folder of source `folder`; default is `NAME.csv` and the like.
        target, ignore, header: how to read that file; `header: false` names columns V1, V2 ...
        separator, decimal, missing: how to read a CSV file: comma (the default, or what its first
            line has), semicolon, tab or bar; `.` or `,`; more texts that mean no value.
        categorical: what to do with features that are not numbers.
        categories: columns to one-hot encode whatever they hold, as codes that are numbers.
        missing_target: what to do with rows without a label.
        source, root: where this data set comes from, whatever `data.source` and `data.root` say;
            root is a folder, relative to the entry.
        costs: what moving a feature costs, by column, `inf` allowed; `default` is that of the
            others, 1 if nothing is said (`sweep.datasets.costs`).
        costs_per: what a cost is for: one standard deviation of the training rows, or one unit
            of the table.
        hashes: source -> hash of the raw arrays, where one was recorded.
    """

    name: str
    title: str = ""
    rows: int | None = None
    features: int | None = None
    classes: int | None = None
    class_sizes: tuple[int, ...] = ()
    input_shape: tuple[int, ...] = ()
    num_test: int = 0
    openml: OpenMLEntry | None = None
    file: str | None = None
    target: str | None = None
    ignore: tuple[str, ...] = ()
    header: bool = True
    separator: str | None = None
    decimal: str = "."
    missing: tuple[str, ...] = ()
    categorical: str = "refuse"
    categories: tuple[str, ...] = ()
    missing_target: str = "refuse"
    source: str | None = None
    root: str | None = None
    costs: Mapping[str, object] | None = None
    costs_per: str = "deviation"
    hashes: Mapping[str, str] | None = None
    confidence: str = "confirmed"
    licence: str = ""
    citation: str = ""
    notes: str = ""

    @property
    def is_vision(self) -> bool:
        """Whether the rows are images."""
        return bool(self.input_shape)


_CHOICES: dict[str, Collection[str]] = {
    "separator": ("comma", "semicolon", "tab", "bar"),
    "decimal": (".", ","),
    "categorical": CATEGORICAL,
    "missing_target": MISSING_TARGET,
    "costs_per": COSTS_PER,
    "confidence": CONFIDENCES,
}


def _build(cls: type[Any], value: object, where: str) -> Any:
    """Turn a mapping into the dataclass `cls`, checking keys, types and choices."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected keys and values, got {value!r}")
    hints = typing.get_type_hints(cls)
    for key in value:
        if key not in hints:
            raise ValueError(f"{where}: unknown key {key!r}; allowed: {', '.join(hints)}")
    for item in fields(cls):
        if item.default is MISSING and item.name not in value:
            raise ValueError(f"{where}: key {item.name!r} is missing")
    return cls(**{key: _convert(hints[key], item, where, key) for key, item in value.items()})


def _convert(hint: Any, value: object, where: str, key: str) -> Any:
    """Check one value against its type hint; lists become tuples, mappings dataclasses."""
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = typing.get_args(hint)[0]
    origin = typing.get_origin(hint) or hint
    if origin is tuple and isinstance(value, list):
        member = typing.get_args(hint)[0]
        return tuple(_convert(member, item, where, key) for item in value)
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        return _build(hint, value, f"{where}: {key}")
    # A bool is an int to Python, but `rows: true` is a mistake.
    if not isinstance(value, origin) or (isinstance(value, bool) and origin is not bool):
        raise ValueError(f"{where}: {key}={value!r} must be of type {_name(hint)}")
    if key in _CHOICES and value not in _CHOICES[key]:
        raise ValueError(f"{where}: {key}={value!r}; allowed: {', '.join(_CHOICES[key])}")
    return value


def _name(hint: Any) -> str:
    return "list" if typing.get_origin(hint) is tuple else getattr(hint, "__name__", str(hint))


def read_entry(path: Path) -> CatalogEntry:
    """Read one catalog file.

    Raises:
        ValueError: the file is not valid YAML, a key is unknown or missing, or a value is wrong.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with reading_yaml(path):
        value = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=loader)
    entry: CatalogEntry = _build(CatalogEntry, value, str(path))
    if entry.name != path.stem:
        raise ValueError(f"{path}: name={entry.name!r} must be the file's name, {path.stem!r}")
    _check_counts(entry, path)
    return entry


def _check_counts(entry: CatalogEntry, path: Path) -> None:
    """Refuse numbers of rows and the like that no data set has."""
    for key in ("rows", "features", "classes"):
        value = getattr(entry, key)
        if value is not None and value < 1:
            raise ValueError(f"{path}: {key}={value}: must be an integer >= 1")
    if entry.num_test < 0:
        raise ValueError(f"{path}: num_test={entry.num_test}: must be an integer >= 0")
    if entry.costs is not None:
        for name, cost in entry.costs.items():
            check_cost(name, cost, str(path))
    if entry.input_shape and (len(entry.input_shape) != 3 or min(entry.input_shape) < 1):
        raise ValueError(
            f"{path}: input_shape={list(entry.input_shape)}: must be [height, width, channels]"
        )


def check_cost(name: object, value: object, where: str) -> float:
    """Return the cost of moving a feature as a number.

    Raises:
        ValueError: it is neither positive, such that float32 holds it and its reciprocal, nor inf.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not (LEAST_COST <= number <= LARGEST_COST or number == math.inf):
        raise ValueError(
            f"{where}: costs: {name}={value!r}: must be a number from {LEAST_COST:g} to "
            f"{LARGEST_COST:g}, or inf"
        )
    return number


@lru_cache(maxsize=8)
def read_folder(folder: Path) -> dict[str, CatalogEntry]:
    """Read every catalog file of a folder, by name."""
    return {path.stem: read_entry(path) for path in sorted(folder.glob("*.yaml"))}


def catalog() -> dict[str, CatalogEntry]:
    """Return the entries of `conf/catalog/`, by name."""
    return read_folder(CATALOG)
