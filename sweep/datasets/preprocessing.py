"""The rule by which a data set's raw features became a network's inputs, to be kept with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from robust.preprocessing import Preprocessing
from sweep.datasets.loading import raw_and_split
from sweep.datasets.scaling import Statistics, of_range, scalings, statistics
from sweep.datasets.values import DataOptions, Indices, RawData


@lru_cache(maxsize=4)
def preprocessing(name: str, scaling: str, options: DataOptions, split_seed: int) -> Preprocessing:
    """Return the rule of `datasets.load` with the same arguments, with the training statistics.

    Raises:
        ValueError: the source, the name or the scaling is unknown, or the data are unusable.
    """
    raw, indices = raw_and_split(name, options, split_seed)
    known = _RANGED
    if raw.ranges is None:
        known = {key: rule for (vision, key), rule in RULES.items() if vision == raw.is_vision}
    if scaling not in known:
        raise ValueError(f"scaling={scaling!r}: not allowed for {name}; known: {', '.join(known)}")
    made = known[scaling](raw, indices)
    bounds = scalings(raw.is_vision, raw.ranges)[scaling].bounds
    categories = tuple((group.column, group.values) for group in raw.groups)
    return replace(
        made,
        classes=raw.classes,
        features=raw.features,
        bounds=bounds,
        categories=categories,
        missing=raw.missing,
        decimal=raw.decimal,
    )


def _standardized(raw: RawData, indices: Indices) -> Preprocessing:
    found = statistics(raw.x.astype(np.float64, copy=False), indices.train)
    return _affine(raw, found)


def _ranged(raw: RawData, indices: Indices) -> Preprocessing:
    assert raw.ranges is not None
    return _affine(raw, of_range(raw.ranges))


def _affine(raw: RawData, found: Statistics) -> Preprocessing:
    unit, centre, deviation = (
        tuple(v.tolist()) for v in (found.unit, found.centre, found.deviation)
    )
    return Preprocessing("affine", raw.x.shape[1:], unit=unit, centre=centre, deviation=deviation)


def _unit(raw: RawData, indices: Indices) -> Preprocessing:
    return Preprocessing("affine", raw.x.shape[1:], unit=(255.0,))


def _per_image(raw: RawData, indices: Indices) -> Preprocessing:
    return Preprocessing("per-image", raw.x.shape[1:])


Rule = Callable[[RawData, Indices], Preprocessing]
_RANGED: Mapping[str, Rule] = MappingProxyType({"unit": _ranged})
# (images, scaling) -> the rule, as `sweep.datasets.scaling` has them.
RULES: Mapping[tuple[bool, str], Rule] = MappingProxyType(
    {
        (False, "standardized"): _standardized,
        (True, "unit"): _unit,
        (True, "standardized"): _per_image,
    }
)
