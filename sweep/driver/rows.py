"""Rows of raw features with labels, from a CSV file, for a network that is kept.

Columns are found by the names that the features had in training, whatever their order; categories
are encoded as they were (`robust.frames`), and what stood for no value does so again. Features
without names, as pixels, are all columns beside the target, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from robust.predictor import Predictor
from sweep.datasets.csv_files import CsvRules, read_csv
from sweep.datasets.table import label_texts, shown
from sweep.datasets.table_files import TARGETS


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
            one that is no feature, or the only one of these that holds nothing but classes.

    Raises:
        ValueError: one line naming the file and the column, class or value that does not fit.
    """
    frame = _read(path, predictor)
    column = _target(frame, predictor, target, str(path))
    labels = label_texts(frame[column])
    try:
        x = predictor.inputs(frame.drop(columns=column))
        return Rows(x, _codes(labels, predictor), tuple(labels))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_features(path: Path, predictor: Predictor, target: str = "") -> pd.DataFrame:
    """Read the raw features of a CSV file; a column of labels is left out.

    Args and Raises are those of `read_rows`; there need be no labels.
    """
    frame = _read(path, predictor)
    labels = [target] if target else [n for n in frame.columns if n.casefold() in TARGETS]
    unnamed = predictor.feature_names_in_ is None
    features = frame.drop(columns=labels, errors="ignore") if unnamed else frame
    try:
        predictor.inputs(features)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return features


def _read(path: Path, predictor: Predictor) -> pd.DataFrame:
    told = predictor.preprocessing
    rules = CsvRules() if told is None else CsvRules(decimal=told.decimal, missing=told.missing)
    frame = read_csv(path, rules).frame
    if frame.empty:
        raise ValueError(f"{path}: no rows")
    return frame


def _codes(labels: Sequence[str], predictor: Predictor) -> Tensor:
    """The numbers 0..K-1 of labels, [N] int64."""
    known = {str(label): code for code, label in enumerate(predictor.classes_.tolist())}
    foreign = next((label for label in labels if label not in known), None)
    if foreign is not None:
        raise ValueError(f"unknown class {foreign!r}; known: {shown(list(known))}")
    return torch.tensor([known[label] for label in labels], dtype=torch.int64)


def _target(frame: pd.DataFrame, predictor: Predictor, target: str, where: str) -> str:
    """The column of the labels."""
    columns = [str(column) for column in frame.columns]
    if target:
        if target not in columns:
            raise ValueError(f"{where}: no column target={target!r}; columns: {shown(columns)}")
        return target
    names = predictor.feature_names_in_
    features = [] if names is None else names.tolist()
    used = {*features, *(feature.split("=")[0] for feature in features)}
    usual = [name for name in columns if name.casefold() in TARGETS]
    others = [name for name in columns if name not in used] if features else []
    found = usual if len(usual) == 1 else others
    if len(found) > 1:  # an id beside the labels
        known = set(map(str, predictor.classes_.tolist()))
        found = [name for name in found if known.issuperset(label_texts(frame[name]))]
    if len(found) != 1:
        raise ValueError(
            f"{where}: which column holds the labels? Say target=NAME; columns: {shown(columns)}"
        )
    return found[0]
