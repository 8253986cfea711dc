"""Whether a file of records or curves holds what was written to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from sweep.results import checksum

_ADVICE = "move it out of this folder: the command of its sweep then trains again what it held"


def check(path: Path) -> None:
    """Compare a file's checksum, if it has one, with its bytes.

    Raises:
        ValueError: the file is damaged, or is not there.
    """
    with named(path):
        reason = checksum.damage(path)
    if reason is not None:
        raise ValueError(f"{path} cannot be read: it is damaged ({reason}); {_ADVICE}")


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file at which a reader fails.

    Raises:
        ValueError: it failed; one line with the file and what to do.
    """
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        damaged = not isinstance(error, OSError) or error.errno is None
        advice = f"; {_ADVICE}" if damaged else ""  # else the operating system says why
        raise ValueError(f"{path} cannot be read: {reason}{advice}") from error
