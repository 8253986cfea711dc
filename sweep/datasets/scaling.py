"""Scalings: from raw arrays to the float32 inputs that networks see.

Tabular data are standardised with statistics of the training rows only, after missing values are
replaced by training means. Images are scaled to [0, 1], or standardised per image and channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.values import FloatArray, IntArray

Scale = Callable[[NDArray[np.generic], IntArray], NDArray[np.float32]]
Ranges = tuple[tuple[float, ...], tuple[float, ...]]  # least and largest values, [2][D]
UNBOUNDED = (-math.inf, math.inf)
_SAMPLED = 5000  # images: enough for the third digit of a mean over all of MNIST's


@dataclass(frozen=True)
class Scaling:
    """How raw rows become inputs, and the range that attacks must stay in."""

    scale: Scale
    bounds: tuple[float, float]


@dataclass(frozen=True)
class Statistics:
    """Of the training rows, by which a column x becomes (x / unit - centre) / deviation.

    Attributes:
        unit: the largest magnitude of each column, [D]; 1 where all are 0.
        centre, deviation: mean and standard deviation in that unit, [D]; deviation 0 where the
            column does not vary.
    """

    unit: FloatArray
    centre: FloatArray
    deviation: FloatArray


def statistics(x: FloatArray, train: IntArray) -> Statistics:
    """Return the statistics of the training rows, of the values that are not missing.

    Args:
        x: [N, D] with NaN where missing.
        train: row numbers of the training split.
    """
    known = ~np.isnan(x[train])
    counts = np.maximum(known.sum(axis=0), 1)
    rows = np.where(known, x[train], 0.0)
    # Dividing by the largest magnitude first keeps the squares of huge values finite.
    largest = np.abs(rows).max(axis=0)
    largest[largest == 0] = 1.0
    rows = rows / largest
    mean = rows.sum(axis=0) / counts
    centred = np.where(known, rows - mean, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=0) / counts)
    low = np.where(known, rows, np.inf).min(axis=0)
    high = np.where(known, rows, -np.inf).max(axis=0)
    return Statistics(largest, mean, np.where(low < high, deviation, 0.0))


def standardize(x: FloatArray, train: IntArray) -> NDArray[np.float32]:
    """Return (x - mean) / standard deviation of the training rows; constant columns are zero.

    Args:
        x: [N, D] with NaN where missing; these take the training mean of their column, which is
            zero afterwards. A column without any training value is zero.
        train: row numbers of the training split.
    """
    return _scaled_by(statistics(x, train), x)


def _scaled_by(of_rows: Statistics, x: FloatArray) -> NDArray[np.float32]:
    varies = of_rows.deviation > 0
    scaled = (x / of_rows.unit - of_rows.centre) / np.where(varies, of_rows.deviation, 1.0)
    return np.where(np.isnan(scaled) | ~varies, 0.0, scaled).astype(np.float32)


def unit(images: NDArray[np.generic], train: IntArray) -> NDArray[np.float32]:
    """Return pixel values 0..255 as 0..1, flattened: [N, H, W, C] -> [N, H W C]."""
    flat = images.reshape(len(images), -1)
    return flat.astype(np.float32) / np.float32(255.0)


def standardize_images(images: NDArray[np.generic], train: IntArray) -> NDArray[np.float32]:
    """Return each image's channels with mean 0 and standard deviation 1; constant ones are zero.

    The statistics are of one image and channel at a time, so nothing is shared among rows.
    """
    scaled = np.empty(images.shape, dtype=np.float32)
    for start in range(0, len(images), 4096):  # bounds the float64 working memory
        chunk = images[start : start + 4096].astype(np.float64)
        mean = chunk.mean(axis=(1, 2), keepdims=True)
        deviation = chunk.std(axis=(1, 2), keepdims=True)
        varies = chunk.max(axis=(1, 2), keepdims=True) > chunk.min(axis=(1, 2), keepdims=True)
        scaled[start : start + 4096] = (chunk - mean) * varies / np.where(varies, deviation, 1.0)
    return scaled.reshape(len(images), -1)


def pixel_scale(images: NDArray[np.generic], train: IntArray) -> float:
    """Return the mean of what `standardize_images` divides by, in pixels from 0 to 1.

    A ball of radius r around a standardised image is, on average, one of r times this in pixels.

    Args:
        images: [N, H, W, C], pixels 0..255.
        train: row numbers of the training split, of which 5,000 are used, the same every time.
    """
    # Drawn, not every n-th: MNIST's images come from two groups of writers in turn.
    drawn = np.random.default_rng(0).permutation(len(train))[:_SAMPLED]
    deviation = images[np.sort(train[drawn])].astype(np.float64).std(axis=(1, 2))
    return float(deviation.mean() / 255.0)


def _standardize_any(x: NDArray[np.generic], train: IntArray) -> NDArray[np.float32]:
    return standardize(x.astype(np.float64, copy=False), train)


def of_range(ranges: Ranges) -> Statistics:
    """Return what takes a range to [0, 1]: its width as unit, its start as centre."""
    low, high = (np.array(ends, dtype=np.float64) for ends in ranges)
    varies = high > low
    width = np.where(varies, high - low, 1.0)
    return Statistics(width, low / width, varies.astype(np.float64))


def _to_unit(of_rows: Statistics, x: NDArray[np.generic], train: IntArray) -> NDArray[np.float32]:
    return _scaled_by(of_rows, x.astype(np.float64, copy=False))


TABULAR = {"standardized": Scaling(_standardize_any, UNBOUNDED)}
VISION = {
    "unit": Scaling(unit, (0.0, 1.0)),
    "standardized": Scaling(standardize_images, UNBOUNDED),
}


def scalings(is_vision: bool, ranges: Ranges | None = None) -> dict[str, Scaling]:
    """Return the scalings that this kind of data allows, by name.

    Args:
        is_vision: images.
        ranges: of a table that its benchmark scales (`RawData.ranges`).
    """
    if ranges is not None:
        # Rows of the test part may lie outside of [0, 1], so no attack is clipped to it.
        return {"unit": Scaling(partial(_to_unit, of_range(ranges)), UNBOUNDED)}
    return VISION if is_vision else TABULAR
