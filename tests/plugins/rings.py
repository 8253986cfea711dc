"""Source `rings`: made-up data, three rings around each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sweep.datasets.values import DataOptions, RawData

NEEDS_ROOT = False
ROWS = 120


def names(root: str | None = None) -> tuple[str, ...]:
    """Return the one data set."""
    return ("three-rings",)


def files(name: str, options: DataOptions) -> tuple[Path, ...]:
    """Return no files: the rows are computed."""
    return ()


def read(name: str, options: DataOptions) -> RawData:
    """Return the rings."""
    y = np.arange(ROWS, dtype=np.int64) % 3
    angle = np.linspace(0, 40, ROWS)
    x = (1 + y)[:, np.newaxis] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return RawData(x=x, y=y, classes=("inner", "middle", "outer"), features=("a", "b"))
