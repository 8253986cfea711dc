"""Data sets: named, verified, split by the paper's protocol, scaled from training statistics."""

from __future__ import annotations

from sweep.datasets.loading import describe, load, names, planned, raw_and_split
from sweep.datasets.values import DataOptions, Dataset, DatasetInfo, OneHot, Split

__all__ = [
    "DataOptions",
    "Dataset",
    "DatasetInfo",
    "OneHot",
    "Split",
    "describe",
    "load",
    "names",
    "planned",
    "raw_and_split",
]
