"""Image sets as downloaded from their homes: MNIST's idx files and CIFAR-10's batches."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweep.datasets.values import IntArray, RawData

Pixels = NDArray[np.uint8]

_DIGITS = tuple(str(digit) for digit in range(10))
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_OBJECTS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def reshape_pixels(pixels: Pixels, shape: Sequence[int], planes_first: bool) -> Pixels:
    """Reshape [N, H W C] to [N, H, W, C]; `planes_first` if channels vary slowest."""
    height, width, channels = shape
    if not planes_first:
        return pixels.reshape(-1, height, width, channels)
    planes = pixels.reshape(-1, channels, height, width)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def images_from_columns(
    raw: RawData, shape: Sequence[int], planes_first: bool, where: str
) -> RawData:
    """Turn a table of pixel columns into images.

    Raises:
        ValueError: a value is not a whole number from 0 to 255.
    """
    if raw.x.ndim != 2 or raw.x.shape[1] != int(np.prod(shape)):
        found = "x".join(map(str, raw.x.shape[1:]))
        raise ValueError(f"{where}: {found} features for input_shape {list(shape)}")
    if not np.isfinite(raw.x.astype(np.float64)).all():
        raise ValueError(f"{where}: pixel values must be whole numbers from 0 to 255")
    pixels = raw.x.astype(np.uint8)
    if not np.array_equal(pixels, raw.x):
        raise ValueError(f"{where}: pixel values must be whole numbers from 0 to 255")
    return replace(raw, x=reshape_pixels(pixels, shape, planes_first), features=())


def _idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes; gzipped where the name says so."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from None
    header = 4 * (dimensions + 1)
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < header:
        raise ValueError(f"{path}: not an idx file of bytes in {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if len(data) != header + int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"{path}: {len(data) - header} bytes for shape {list(shape)}")
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def _read_idx(paths: Sequence[Path]) -> tuple[Pixels, IntArray, int]:
    images = [_idx(path, 3) for path in paths[0::2]]
    labels = [_idx(path, 1) for path in paths[1::2]]
    for path, part, codes in zip(paths[1::2], images, labels, strict=True):
        if len(part) != len(codes):
            raise ValueError(f"{path}: {len(codes)} labels for {len(part)} images")
    return (
        np.concatenate(images)[..., None],
        np.concatenate(labels).astype(np.int64),
        len(labels[1]),
    )


# What a pickle of arrays and plain values needs, written by Python 2 or 3.
_ALLOWED = frozenset(
    {
        *(("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")),
        *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
        *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    }
)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles arrays and plain values: a downloaded pickle may name no other code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return super().find_class(module, name)


def _python_batch(data: bytes, where: str) -> tuple[Pixels, IntArray]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's own, about how old pickles name a dtype
            batch = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
        pixels = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3072)
        labels = np.asarray(batch[b"labels"], dtype=np.int64)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: not a CIFAR-10 batch: {error}") from None
    if len(labels) != len(pixels):
        raise ValueError(f"{where}: {len(labels)} labels for {len(pixels)} images")
    return pixels, labels


def _binary_batch(data: bytes, where: str) -> tuple[Pixels, IntArray]:
    if len(data) == 0 or len(data) % 3073:
        raise ValueError(f"{where}: {len(data)} bytes are not whole CIFAR-10 images of 3073")
    rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0].astype(np.int64)


_PYTHON = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5")
_PYTHON_BATCHES = (*_PYTHON, "test_batch")
_BINARY_BATCHES = tuple(f"{name}.bin" for name in _PYTHON_BATCHES)


def _contents(paths: Sequence[Path]) -> list[tuple[str, bytes]]:
    """Return the six batches' names and bytes, from files or from the one archive."""
    if paths[0].suffix != ".gz":
        return [(path.name, path.read_bytes()) for path in paths]
    found = {}
    try:
        with tarfile.open(paths[0]) as archive:
            for member in archive:
                name = Path(member.name).name
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and name in _PYTHON_BATCHES + _BINARY_BATCHES:
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{paths[0]}: cannot be read: {error}") from None
    for names in (_PYTHON_BATCHES, _BINARY_BATCHES):
        if all(name in found for name in names):
            return [(name, found[name]) for name in names]
    raise ValueError(f"{paths[0]}: not all of {', '.join(_PYTHON_BATCHES)} are in the archive")


def _read_cifar(paths: Sequence[Path]) -> tuple[Pixels, IntArray, int]:
    parts = []
    for name, data in _contents(paths):
        decode = _binary_batch if name.endswith(".bin") else _python_batch
        parts.append(decode(data, f"{paths[0].parent / name}"))
    pixels = np.concatenate([part for part, _ in parts])
    labels = np.concatenate([codes for _, codes in parts])
    return reshape_pixels(pixels, (32, 32, 3), planes_first=True), labels, len(parts[-1][1])


@dataclass(frozen=True)
class _Layout:
    """Where an image set's files lie (any one of `groups`, in any of `folders`) and its reader."""

    folders: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    read: Callable[[Sequence[Path]], tuple[Pixels, IntArray, int]]
    classes: tuple[str, ...]


_IDX = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)
_IDX_GROUPS = (tuple(f"{name}.gz" for name in _IDX), _IDX)
_CIFAR_GROUPS = (
    *(_PYTHON_BATCHES, _BINARY_BATCHES),
    *(("cifar-10-python.tar.gz",), ("cifar-10-binary.tar.gz",)),
)
_LAYOUTS = {
    "MNIST": _Layout(("mnist", "MNIST", "."), _IDX_GROUPS, _read_idx, _DIGITS),
    # Not the folder itself: the files are called like MNIST's.
    "Fashion-MNIST": _Layout(("fashion-mnist", "Fashion-MNIST"), _IDX_GROUPS, _read_idx, _CLOTHES),
    "CIFAR-10": _Layout(
        ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar10", "CIFAR-10", "."),
        *(_CIFAR_GROUPS, _read_cifar, _OBJECTS),
    ),
}


def find(name: str, root: Path) -> list[Path]:
    """Return the files of an image set below `root`; empty if they are not all there."""
    layout = _LAYOUTS.get(name)
    for folder in layout.folders if layout else ():
        for group in layout.groups if layout else ():
            paths = [root / folder / file for file in group]
            if all(path.is_file() for path in paths):
                return paths
    return []


def describe(name: str) -> tuple[str, ...]:
    """Return the files that `find` looks for first, for an error message."""
    layout = _LAYOUTS.get(name)
    return tuple(f"{layout.folders[0]}/{group[0]}" for group in layout.groups) if layout else ()


def read(name: str, paths: Sequence[Path]) -> RawData:
    """Read an image set from the files that `find` returned.

    Raises:
        ValueError: a file is damaged, or a label is not one of the ten.
    """
    layout = _LAYOUTS[name]
    images, labels, num_test = layout.read(paths)
    if not np.array_equal(np.unique(labels), np.arange(len(layout.classes))):
        raise ValueError(f"{paths[0].parent}: labels must be 0 to 9, all of them, for {name}")
    return RawData(images, labels, layout.classes, num_test=num_test)
