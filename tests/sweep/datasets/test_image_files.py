"""MNIST's idx files and CIFAR-10's batches, as downloaded from their homes."""

from __future__ import annotations

import gzip
import io
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from analysis.pixels import PIXEL_SCALES
from sweep import datasets
from sweep.datasets import DataOptions, loading
from sweep.datasets.values import RawData

GENERATOR = np.random.default_rng(0)
LABELS = np.tile(np.arange(10), 2)
MNIST_FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def read(name: str, root: Path) -> RawData:
    loading.read_raw.cache_clear()
    return loading.read_raw(name, DataOptions("folder", str(root)))[0]


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, images: np.ndarray, num_test: int, compressed: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cut = len(images) - num_test
    labels = np.resize(LABELS, len(images))
    arrays = (images[:cut], labels[:cut], images[cut:], labels[cut:])
    for name, array in zip(MNIST_FILES, arrays, strict=True):
        data = idx(array)
        path = folder / (f"{name}.gz" if compressed else name)
        path.write_bytes(gzip.compress(data) if compressed else data)


@pytest.mark.parametrize("compressed", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("folder", [".", "mnist", "MNIST"])
def test_idx_files_are_read(tmp_path: Path, compressed: bool, folder: str) -> None:
    images = GENERATOR.integers(0, 256, (30, 28, 28)).astype(np.uint8)
    write_idx(tmp_path / folder, images, 10, compressed)
    raw = read("MNIST", tmp_path)
    np.testing.assert_array_equal(raw.x[..., 0], images)
    np.testing.assert_array_equal(raw.y, np.resize(LABELS, 30))
    assert raw.num_test == 10
    assert any("30 rows, expected 70000" in note for note in raw.notes)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-1], "784[0-9]* bytes|cannot be read|bytes for shape"),
        (lambda data: b"\x1f\x8b" + data, "not an idx file"),
        (lambda data: b"", "not an idx file"),
    ],
    ids=["truncated", "other", "empty"],
)
def test_damaged_idx_file_is_one_line(tmp_path: Path, damage: object, message: str) -> None:
    write_idx(tmp_path, GENERATOR.integers(0, 256, (30, 28, 28)), 10, compressed=False)
    path = tmp_path / MNIST_FILES[0]
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(ValueError, match=message) as error:
        read("MNIST", tmp_path)
    assert "\n" not in str(error.value)


def test_truncated_gzip_file_is_one_line(tmp_path: Path) -> None:
    write_idx(tmp_path, GENERATOR.integers(0, 256, (30, 28, 28)), 10, compressed=True)
    path = tmp_path / f"{MNIST_FILES[0]}.gz"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"ubyte\.gz: cannot be read"):
        read("MNIST", tmp_path)


def test_real_mnist_has_its_published_counts(images_root: Path) -> None:
    data = datasets.load("MNIST", "unit", DataOptions("folder", str(images_root)), 0)
    assert (data.info.num_train, data.info.num_validation, data.info.num_test) == (
        *(59000, 1000),
        10000,
    )
    # The mean over all 60,000, computed apart from this code; the sample errs below 1%.
    assert data.info.pixel_scale == pytest.approx(PIXEL_SCALES["mnist"], abs=2e-3)
    # Class sizes of the published test file.
    sizes = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(data.test.y).tolist() == sizes
    assert data.train.x.max() == 1.0
    # The mean pixel of the 60,000 training images, as widely published: 0.1307.
    outer = np.concatenate([data.train.x, data.validation.x])
    assert float(outer.mean(dtype=np.float64)) == pytest.approx(0.1307, abs=5e-5)


def test_mnist_files_in_place_of_fashion_mnist_are_recognised(
    images_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(images_root / "mnist", tmp_path / "fashion-mnist")
    with pytest.raises(ValueError, match="Fashion-MNIST: the files hold the arrays of MNIST"):
        read("Fashion-MNIST", tmp_path)


def cifar_pixels() -> np.ndarray:
    return GENERATOR.integers(0, 256, (6, 20, 3072)).astype(np.uint8)


def python2_pickle(batch: np.ndarray) -> bytes:
    """The opcodes by which Python 2 pickled {"data": array, "labels": list} (protocol 2)."""
    shape = b"M" + struct.pack("<H", len(batch)) + b"M" + struct.pack("<H", batch.shape[1])
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ"
    dtype += b"\xff\xff\xff\xffK\x00tb"
    bytes_ = b"T" + struct.pack("<i", batch.nbytes) + batch.tobytes()
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    array += b"(K\x01" + shape + b"\x86" + dtype + b"\x89" + bytes_ + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in LABELS) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + labels + b"u."


def python3_pickle(batch: np.ndarray) -> bytes:
    return pickle.dumps({b"data": batch, b"labels": LABELS.tolist()})


def python_batches(pixels: np.ndarray) -> dict[str, bytes]:
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    dumps = [python2_pickle] * 5 + [python3_pickle]
    batches = zip(names, dumps, pixels, strict=True)
    return {name: dump(batch) for name, dump, batch in batches}


def binary_batches(pixels: np.ndarray) -> dict[str, bytes]:
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    return {
        name: np.column_stack([LABELS.astype(np.uint8), batch]).tobytes()
        for name, batch in zip(names, pixels, strict=True)
    }


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
@pytest.mark.parametrize("kind", ["python", "binary"])
def test_cifar_batches_are_read(tmp_path: Path, kind: str, packed: bool) -> None:
    pixels = cifar_pixels()
    batches = {"python": python_batches, "binary": binary_batches}[kind](pixels)
    folder = {"python": "cifar-10-batches-py", "binary": "cifar-10-batches-bin"}[kind]
    if packed:
        with tarfile.open(tmp_path / f"cifar-10-{kind}.tar.gz", "w:gz") as archive:
            for name, data in batches.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    else:
        (tmp_path / folder).mkdir()
        for name, data in batches.items():
            (tmp_path / folder / name).write_bytes(data)
    raw = read("CIFAR-10", tmp_path)
    assert raw.x.shape == (120, 32, 32, 3)
    assert raw.num_test == 20
    # A batch's row is the red plane, then the green, then the blue, each row by row.
    row, column, channel = 3, 7, 2
    plane = 1024 * channel + 32 * row + column
    np.testing.assert_array_equal(raw.x[20:40, row, column, channel], pixels[1, :, plane])
    np.testing.assert_array_equal(raw.y, np.tile(LABELS, 6))
    assert raw.classes[0] == "airplane"


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run by a pickle",)


@pytest.mark.parametrize(
    "data", [pickle.dumps({b"data": _Evil()}), b"not a pickle", pickle.dumps([])], ids=str
)
def test_pickle_that_is_no_batch_is_refused(
    tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cifar-10-batches-py").mkdir()
    for name, batch in python_batches(cifar_pixels()).items():
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(batch)
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(data)
    with pytest.raises(ValueError, match="data_batch_2: not a CIFAR-10 batch"):
        read("CIFAR-10", tmp_path)
    assert "run by a pickle" not in capsys.readouterr().out


def test_entry_reads_the_development_copy_of_cifar(images_root: Path, tmp_path: Path) -> None:
    shutil.copy(images_root / "cifar10" / "cifar10_jpeg_subset.npz", tmp_path / "small.npz")
    data = datasets.load("small", "unit", DataOptions("folder", str(tmp_path)), 0)
    assert data.info.input_shape == (32, 32, 3)
    assert (data.info.num_train, data.info.num_validation, data.info.num_test) == (
        *(4000, 1000),
        1000,
    )
