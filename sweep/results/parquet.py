"""Parquet files that carry a checksum of all their bytes (`sweep.results.checksum`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sweep import files
from sweep.errors import DamagedError
from sweep.results import checksum, summary


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file with its checksum, and records with their summary, atomically."""
    with files.atomic(path) as temporary:
        write_checked(temporary, table, summary.packed(table) or b"")


def write_checked(path: Path, table: pa.Table, note: bytes = b"") -> None:
    """Write a Parquet file with a checksum of each page, one of the whole, and a note."""
    pq.write_table(table, path, compression="zstd", use_dictionary=True, write_page_checksum=True)
    checksum.add(path, note)


def read_table(path: Path) -> pa.Table:
    """Read a Parquet file whose bytes are those that were written.

    Raises:
        DamagedError: they are not.
        FileNotFoundError: it is not there.
    """
    check(path)
    with reading(path):
        return pq.read_table(path, page_checksum_verification=True, partitioning=None)


def check(path: Path) -> bytes:
    """Read the whole file and compare its checksum, if it has one.

    Returns:
        The note that was written with it; empty where there is none.

    Raises:
        DamagedError: the file is no longer what was written.
        FileNotFoundError: it is not there.
        OSError: it cannot be read; the error names the file.
    """
    with reading(path):
        reason, note = checksum.inspect(path)
    if reason is not None:
        raise DamagedError(f"{path}: is damaged ({reason})")
    return note


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file whose content stops the reader of Parquet; files of old have no checksum."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:  # the operating system's: the file may be sound
            error.filename = str(path)
            raise
        raise DamagedError(f"{path}: is damaged ({_first_line(error)})") from None
    except (pa.ArrowException, ValueError) as error:
        raise DamagedError(f"{path}: is damaged ({_first_line(error)})") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
