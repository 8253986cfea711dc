"""The leak audit: features that give the label away, and other things a split must not hide.

A feature determines the label if it is one-to-one with it, if thresholds on it separate every
class (a decision stump reaching 100%, for two classes), or if it takes few values each of which
has one label; categories are examined as the one column that they were. Rows of one part that
occur in training are counted; constant columns and columns that number the rows are named: whole
numbers, nearly as many as rows, that leave few out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.values import ID_ROWS, ID_SHARE, FloatArray, Indices, IntArray, OneHot, RawData

_CELLS = 20_000_000  # working memory: cells examined at a time
_SHOWN = 5  # features named in one finding
# A feature with more distinct values than this share of the rows may fit the label by chance.
_DISTINCT_SHARE = 0.2
_GAPS = 1.5  # the range of numbers of rows, in numbers that occur
LEAKS = ("one-to-one", "stump", "determines")


@dataclass(frozen=True)
class Finding:
    """One thing that the audit found.

    Args:
        kind: one-to-one, stump, determines (these are leaks), duplicates, contradictory, constant
            or id-like.
        columns: the features concerned, by position; empty for findings of rows.
        detail: one line.
    """

    kind: str
    columns: tuple[int, ...]
    detail: str

    @property
    def is_leak(self) -> bool:
        """Whether a feature gives the label away."""
        return self.kind in LEAKS


def _separates(values: FloatArray, y: IntArray) -> NDArray[np.bool_]:
    """[D]: the ranges of the classes do not overlap."""
    groups = [values[y == code] for code in range(int(y.max()) + 1)]
    low = np.stack([group.min(axis=0) for group in groups])
    high = np.stack([group.max(axis=0) for group in groups])
    order = np.argsort(low, axis=0, kind="stable")
    low, high = np.take_along_axis(low, order, 0), np.take_along_axis(high, order, 0)
    return np.asarray(np.all(high[:-1] < low[1:], axis=0))


def _kinds(x: FloatArray, y: IntArray, ordered: bool) -> dict[str, NDArray[np.bool_]]:
    """For each kind of finding, [D]: whether the feature shows it."""
    values = np.where(np.isnan(x), np.inf, x)  # missing is a value of its own
    order = np.argsort(values, axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, 0)
    labels = y[order]
    new_value = ranked[1:] != ranked[:-1]
    num_values = 1 + new_value.sum(axis=0)
    one_label_per_value = np.all(new_value | (labels[1:] == labels[:-1]), axis=0)
    num_rows, num_classes = len(y), int(y.max()) + 1
    constant = num_values == 1
    one_to_one = one_label_per_value & (num_values == num_classes)
    stump = _separates(values, y) & ~one_to_one & ordered
    few = num_values <= max(num_classes, int(_DISTINCT_SHARE * num_rows))
    return {
        "one-to-one": one_to_one,
        "stump": stump,
        "determines": one_label_per_value & few & ~one_to_one & ~stump & ~constant,
        "constant": constant,
        "id-like": numbers_rows(ranked) & ordered,
    }


def numbers_rows(ranked: FloatArray) -> NDArray[np.bool_]:
    """[D]: values in even steps, or whole ones that leave few out, nearly as many as rows.

    Args:
        ranked: [N, D], each column ascending, inf where missing.
    """
    num_rows = len(ranked)
    if num_rows <= ID_ROWS:
        return np.zeros(ranked.shape[1], dtype=bool)
    num_values = 1 + (ranked[1:] != ranked[:-1]).sum(axis=0)
    with np.errstate(invalid="ignore"):
        steps = np.diff(ranked, axis=0)
        even = np.ptp(steps, axis=0) <= 1e-6 * np.abs(steps).max(axis=0)
        known = np.isfinite(ranked)
        whole = np.all(~known | (ranked == np.round(ranked)), axis=0)
        high = np.where(known, ranked, -np.inf).max(axis=0)
        dense = high - ranked[0] < _GAPS * num_values
    few_twice = num_values >= ID_SHARE * num_rows
    return np.asarray(((num_values == num_rows) & even) | (few_twice & whole & dense))


_PHRASES = {
    "one-to-one": "one-to-one with the label",
    "stump": "thresholds on it separate every class",
    "determines": "each of its values has one label",
    "constant": "constant",
    "id-like": "numbers the rows",
}


def audit_features(
    x: FloatArray, y: IntArray, features: Sequence[str] = (), *, ordered: bool = True
) -> list[Finding]:
    """Examine each feature on its own.

    Args:
        x: [N, D] with NaN where missing.
        y: [N], codes 0..K-1 that all occur.
        features: the D names; positions are used if empty.
        ordered: values are measured; else they are codes of categories.
    """
    width = max(1, _CELLS // max(1, len(x)))
    found: dict[str, list[int]] = {kind: [] for kind in _PHRASES}
    for start in range(0, x.shape[1], width):
        for kind, mask in _kinds(x[:, start : start + width], y, ordered).items():
            found[kind].extend((start + np.flatnonzero(mask)).tolist())
    return [
        Finding(kind, tuple(columns), _detail(kind, columns, features))
        for kind, columns in found.items()
        if columns
    ]


def _detail(kind: str, columns: Sequence[int], features: Sequence[str]) -> str:
    named = [features[i] if features else f"column {i}" for i in columns[:_SHOWN]]
    more = f" and {len(columns) - _SHOWN} more" if len(columns) > _SHOWN else ""
    count = "feature" if len(columns) == 1 else f"{len(columns)} features"
    return f"{count} {', '.join(named)}{more}: {_PHRASES[kind]}"


def _row_keys(x: NDArray[np.generic], rows: IntArray) -> Iterator[int]:
    for start in range(0, len(rows), 4096):
        chunk = np.ascontiguousarray(x[rows[start : start + 4096]])
        if chunk.dtype.kind == "f":
            chunk = chunk + 0.0  # -0.0 and 0.0 are the same value
        for row in chunk.reshape(len(chunk), -1):
            yield hash(row.tobytes())


def audit_duplicates(x: NDArray[np.generic], indices: Indices) -> list[Finding]:
    """Count validation and test rows whose features also occur among the training rows."""
    training = set(_row_keys(x, indices.train))
    found = []
    for part, rows in (("validation", indices.validation), ("test", indices.test)):
        count = sum(key in training for key in _row_keys(x, rows))
        if count:
            detail = f"{count} of {len(rows)} {part} rows have the features of a training row"
            found.append(Finding("duplicates", (), detail))
    return found


def audit_contradictions(raw: RawData) -> list[Finding]:
    """Count rows with the features of a row of another label: none can be right on both."""
    keys = list(_row_keys(raw.x, np.arange(len(raw.y))))
    labels: dict[int, set[int]] = {}
    for key, label in zip(keys, raw.y.tolist(), strict=True):
        labels.setdefault(key, set()).add(label)
    count = sum(len(labels[key]) > 1 for key in keys)
    if count == 0:
        return []
    share = f"{count} of {len(keys)} rows"
    return [Finding("contradictory", (), f"{share} have the features of a row with another label")]


def audit(raw: RawData, indices: Indices) -> list[Finding]:
    """Audit a data set as it is loaded; images are examined for duplicates only."""
    features: list[Finding] = []
    if not raw.is_vision:
        x = raw.x.astype(np.float64, copy=False)
        groups = [group for group in raw.groups if len(group.inputs) > 1]
        coded = [i for group in groups for i in group.inputs]
        plain = np.setdiff1d(np.arange(x.shape[1]), coded).tolist()
        pairs = {group.inputs[0]: group.column for group in raw.groups if group not in groups}
        names = [pairs.get(i, raw.features[i]) for i in plain] if raw.features else []
        found = audit_features(x[:, plain] if coded else x, raw.y, names)
        features = [_moved(finding, [[i] for i in plain]) for finding in found]
        features += _audit_categories(x, raw.y, groups)
    return features + audit_duplicates(raw.x, indices)


def _audit_categories(x: FloatArray, y: IntArray, groups: Sequence[OneHot]) -> list[Finding]:
    """Examine each column with categories as the one column that it was."""
    if not groups:
        return []
    codes = [x[:, group.inputs] @ np.arange(len(group.inputs)) for group in groups]
    names = [group.column for group in groups]
    found = audit_features(np.column_stack(codes), y, names, ordered=False)
    return [_moved(finding, [group.inputs for group in groups]) for finding in found]


def _moved(finding: Finding, inputs: Sequence[Sequence[int]]) -> Finding:
    """Return the finding with the inputs of the columns that it names."""
    return replace(finding, columns=tuple(i for c in finding.columns for i in inputs[c]))
