"""Content hashes of arrays that do not depend on the platform."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.values import Indices, RawData


def _update(digest: hashlib._Hash, array: NDArray[np.generic]) -> None:
    little = array.dtype.newbyteorder("<")
    digest.update(f"{little.str}{array.shape}".encode())
    for start in range(0, len(array), 4096):
        chunk = array[start : start + 4096]
        if chunk.dtype.kind == "f":
            # One bit pattern each for zero (not -0.0) and for a missing value.
            chunk = np.nan_to_num(chunk, nan=np.nan, posinf=np.inf, neginf=-np.inf) + 0.0
        digest.update(chunk.astype(little).tobytes())


def arrays_hash(raw: RawData) -> str:
    """Return 16 hex digits over the raw features and labels: what verification compares."""
    digest = hashlib.sha256()
    _update(digest, raw.x)
    _update(digest, raw.y)
    return digest.hexdigest()[:16]


def dataset_hash(raw_hash: str, indices: Indices) -> str:
    """Return 16 hex digits over the raw arrays and the split: `DatasetInfo.hash`."""
    digest = hashlib.sha256(raw_hash.encode())
    for rows in (indices.train, indices.validation, indices.test):
        _update(digest, rows)
    return digest.hexdigest()[:16]
