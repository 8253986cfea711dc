"""What happens to raw rows before a network sees them, for networks that leave this project.

A raw row is what the data set's file holds, with categories one-hot encoded (`groups`), or an
image's pixels from 0 to 255. Standardised tables and images in [0, 1] are affine: the scaling can
be a first layer. Images standardised one by one are not: each is scaled by its own deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.loading import check_scaling, describe, raw_and_split
from sweep.datasets.scaling import scalings
from sweep.datasets.values import DataOptions, FloatArray, OneHot


@dataclass(frozen=True)
class Preprocessing:
    """How raw rows of a data set become the inputs of networks trained on one of its splits.

    Args:
        scaling: its name.
        shift: [D], the training means of a standardised table; None where it is not affine.
        scale: [D], its training deviations, inf where a column is constant in training (1 / scale
            is 0, and so is the input); None where it is not affine.
        feature_names: of the D inputs; empty for images.
        class_names: the K labels, in the order of the logits.
        input_shape: (D,), or (H, W, C) of images, which are flattened in this order.
        groups: the inputs that are one-hot encoded, by the column they come from.
    """

    scaling: str
    shift: FloatArray | None
    scale: FloatArray | None
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    groups: tuple[OneHot, ...] = ()

    @property
    def is_affine(self) -> bool:
        """Whether inputs are (raw - shift) / scale."""
        return self.shift is not None

    def layer(self) -> tuple[FloatArray, FloatArray]:
        """Return the scaling as a first layer, inputs = weight * raw + bias; each [D].

        Raises:
            ValueError: the scaling is not affine.
        """
        if self.shift is None or self.scale is None:
            raise ValueError(
                f"scaling={self.scaling!r} of images takes each image's own mean and deviation, "
                "and is no affine layer; allowed: networks trained with scaling=unit, or `inputs`"
            )
        return 1.0 / self.scale, 0.0 - self.shift / self.scale

    def inputs(self, raw: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return what a network sees of raw rows, as in training up to the last digit of float32.

        Args:
            raw: [N, D] with NaN where missing, which takes the training mean; or [N, H, W, C].

        Raises:
            ValueError: the rows have another number of values.
        """
        num_features = int(np.prod(self.input_shape))
        if raw.ndim < 2 or int(np.prod(raw.shape[1:])) != num_features:
            raise ValueError(f"raw rows {list(raw.shape)}: must be [N, {num_features}]")
        if self.shift is None or self.scale is None:
            images = raw.reshape(len(raw), *self.input_shape)
            return scalings(True)[self.scaling].scale(images, np.arange(0))
        rows = raw.reshape(len(raw), num_features).astype(np.float64, copy=False)
        return np.nan_to_num((rows - self.shift) / self.scale, nan=0.0).astype(np.float32)


def preprocessing(name: str, scaling: str, options: DataOptions, split_seed: int) -> Preprocessing:
    """Return how raw rows of a data set become inputs, with statistics of the training rows.

    Args:
        scaling: one of the data set's `info.scalings`.

    Raises:
        ValueError: the source, the name or the scaling is unknown, or the data are unusable.
    """
    info = describe(name, options, split_seed)
    check_scaling(scaling, info)
    raw, indices = raw_and_split(name, options, split_seed)
    affine = scalings(raw.is_vision)[scaling].affine
    shift, scale = (None, None)
    if affine is not None:
        shift, scale = affine(raw.x[indices.train])
    return Preprocessing(
        scaling, shift, scale, raw.features, raw.classes, info.input_shape, raw.groups
    )
