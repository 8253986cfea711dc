"""What was made of labels, categories and missing values of a table, one line for each choice."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sweep.datasets.table import shown
from sweep.datasets.values import OneHot, RawData

_MANY = 50  # inputs of one column that are worth a word


def choices(raw: RawData) -> tuple[str, ...]:
    """Return a line for the codes of labels, for each one-hot column, and for missing values."""
    return (*_labels(raw), *map(_one_hot, raw.groups), *_missing(raw))


def _labels(raw: RawData) -> Iterator[str]:
    if raw.classes != tuple(str(code) for code in range(len(raw.classes))):
        yield f"labels: {shown([f'{code} = {label}' for code, label in enumerate(raw.classes)])}"


def _one_hot(group: OneHot) -> str:
    if len(group.values) == 2:
        first, second = group.values
        return f"one-hot: {group.column}: 1 input, 0 = {first}, 1 = {second}"
    wide = "; so many that leaving it out is worth a try" if len(group.inputs) > _MANY else ""
    return f"one-hot: {group.column}: {len(group.inputs)} inputs, {shown(group.values)}{wide}"


def _missing(raw: RawData) -> Iterator[str]:
    counts = np.isnan(raw.x).sum(axis=0)
    columns = {i: name for i, name in enumerate(raw.features) if counts[i]}
    for group in raw.groups:
        for i in group.inputs:
            columns.pop(i, None)
        if counts[group.inputs[0]]:
            columns[group.inputs[0]] = group.column
    if columns:
        named = [f"{columns[i]} {counts[i]}" for i in sorted(columns)]
        means = "the mean of the training rows stands in, 0 once scaled"
        yield f"missing: {shown(named)}: {means} (of categories, their shares)"
