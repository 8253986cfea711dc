"""Rows of raw features with labels, from a CSV file, for a network that is kept.

Columns are found by the names that the features had in training, whatever their order. A feature
`colour=red` that was made of a category is made again of a column `colour`. Features without
names, as pixels, are all columns beside the target, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust.predictor import Predictor
from sweep.datasets.sources.folder import TARGETS
from sweep.datasets.table import label_texts, shown
from sweep.datasets.table_files import read_csv

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Inputs of a network, and their labels.

    Attributes:
        x: inputs, [N, D], scaled.
        y: labels, [N], 0..K-1.
        names: what the labels are called, N of them.
    """

    x: Tensor
    y: Tensor
    names: tuple[str, ...]


def read_rows(path: Path, predictor: Predictor, target: str = "") -> Rows:
    """Read a CSV file with a header line.

    Args:
        path: of the file.
        predictor: the network that is to see the rows.
        target: the column of the labels; empty: one called class, target or label, or the only
            one that is no feature.

    Raises:
        ValueError: one line naming the file and the column, class or value that does not fit.
    """
    frame = _read(path)
    column = _target(frame, _features(predictor), target, str(path))
    labels = label_texts(frame[column])
    raw = _raw(frame.drop(columns=column), predictor, str(path))
    try:
        return Rows(predictor.inputs(raw), _codes(labels, predictor), tuple(labels))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_features(path: Path, predictor: Predictor, target: str = "") -> Floats:
    """Read the raw features of a CSV file, [N, D]; a column of labels is left out.

    Args and Raises are those of `read_rows`; there need be no labels.
    """
    frame = _read(path)
    labels = [target] if target else [n for n in frame.columns if n.casefold() in TARGETS]
    unnamed = predictor.feature_names_in_ is None
    features = frame.drop(columns=labels, errors="ignore") if unnamed else frame
    return _raw(features, predictor, str(path))


def _read(path: Path) -> pd.DataFrame:
    frame = read_csv(path, header=True)
    if frame.empty:
        raise ValueError(f"{path}: no rows")
    return frame


def _features(predictor: Predictor) -> list[str]:
    names = predictor.feature_names_in_
    return [] if names is None else [str(name) for name in names]


def _raw(frame: pd.DataFrame, predictor: Predictor, where: str) -> Floats:
    """The features in the order of training, [N, D]."""
    names = _features(predictor)
    if names:
        return np.column_stack([_feature(frame, name, where) for name in names])
    if len(frame.columns) != predictor.n_features_in_:
        raise ValueError(
            f"{where}: {len(frame.columns)} columns of features, the network has "
            f"{predictor.n_features_in_}"
        )
    return np.column_stack([_numbers(frame[name], where) for name in frame.columns])


def _codes(labels: Sequence[str], predictor: Predictor) -> Tensor:
    """The numbers 0..K-1 of labels, [N] int64."""
    known = {str(label): code for code, label in enumerate(predictor.classes_.tolist())}
    foreign = next((label for label in labels if label not in known), None)
    if foreign is not None:
        raise ValueError(f"unknown class {foreign!r}; known: {shown(list(known))}")
    return torch.tensor([known[label] for label in labels], dtype=torch.int64)


def _target(frame: pd.DataFrame, features: Sequence[str], target: str, where: str) -> str:
    """The column of the labels."""
    columns = list(frame.columns)
    if target:
        if target not in columns:
            raise ValueError(f"{where}: no column target={target!r}; columns: {shown(columns)}")
        return target
    used = {*features, *(feature.split("=")[0] for feature in features)}
    usual = [name for name in columns if name.casefold() in TARGETS]
    others = [name for name in columns if name not in used] if features else []
    found = usual if len(usual) == 1 else others
    if len(found) != 1:
        raise ValueError(
            f"{where}: which column holds the labels? Say target=NAME; columns: {shown(columns)}"
        )
    return str(found[0])


def _feature(frame: pd.DataFrame, name: str, where: str) -> Floats:
    """The values of one feature, [N]."""
    if name in frame.columns:
        return _numbers(frame[name], where)
    category, _, value = name.partition("=")
    if value and category in frame.columns:
        column = frame[category]
        texts = np.array(label_texts(column), dtype=object)
        return np.where(column.isna(), np.nan, texts == value)
    raise ValueError(f"{where}: no column {name!r}; columns: {shown(list(frame.columns))}")


def _numbers(column: pd.Series, where: str) -> Floats:
    numbers = pd.to_numeric(column.astype("object"), errors="coerce")
    wrong = column[numbers.isna() & column.notna()]
    if len(wrong):
        raise ValueError(
            f"{where}: column {column.name!r} holds {str(wrong.iloc[0])!r}, not a number"
        )
    return numbers.to_numpy(np.float64)
