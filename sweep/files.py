"""Files that are either wholly there or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import yaml

from sweep.errors import unreadable, yaml_error

TEMPORARY = ".tmp-"
ASIDE = ".damaged"
# What file systems answer that cannot flush a folder.
_NO_FOLDER_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)

# Object stores rename nothing in one step and lock nothing; some programs write s3:bucket.
_STORES = "s3|s3a|s3n|gs|gcs|az|abfs|abfss|adl|wasb|wasbs|hdfs|dbfs|file|http|https|memory"
_ADDRESS = re.compile(rf"[a-z][a-z0-9+.-]*:/|({_STORES}):", re.I)


def why_no_folder(text: str) -> str | None:
    """Return why a text cannot be the path of a folder of records, as the end of a sentence."""
    if not text.strip() or not text.isprintable():
        return "names no folder"
    if _ADDRESS.match(text.strip()):
        return (
            "is an address, and records are kept in a folder of a file system that this machine "
            "sees: they need its renames and locks, which an object store has not"
        )
    if text.startswith("~"):
        return "is not expanded; write the folder in full"
    return None


@contextlib.contextmanager
def reading_yaml(path: Path) -> Iterator[None]:
    """Say in one line why a file cannot be read as YAML, and in which line of it.

    Raises:
        ValueError: the block could not open it, decode it or parse it.
    """
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({unreadable(error)})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {yaml_error(error)}") from None


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` when the block succeeds.

    The file's bytes and its folder are flushed to disk, so a name that can be seen is complete,
    even after a power cut. When the block fails, nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_first(path: Path, text: str) -> None:
    """Write a text file atomically unless there is one: of several writers, the first wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        temporary.write_text(text, encoding="utf-8")
        _flush(temporary)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return
        except OSError:  # a file system without links; two writers at once are very unlikely
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file or folder beside itself, to a name that no one looks for; return that."""
    kept = path.with_name(f"{path.name}{ASIDE}")
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.{number}{ASIDE}")
    return path.rename(kept)


def remove_temporaries(folder: Path) -> int:
    """Delete what killed processes left half-written; return how many files.

    Folders of such a name are not ours, and stay.
    """
    left = [path for path in folder.rglob(f"{TEMPORARY}*") if not path.is_dir()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _flush_folder(path: Path) -> None:
    """Flush the new name of a file, which is there whether or not that can be done."""
    try:
        _flush(path)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            raise


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
