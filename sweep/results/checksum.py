"""Checksums of whole Parquet files and manifests, inside of them (standard library only).

Parquet's own checksums cover pages and neither their headers nor the footer, which hold values
too (statistics, places of pages, names). Here a mark and the SHA-256 of all other bytes lie
between the last page and the footer, where no reader of Parquet looks; before them there may be a
note, some bytes that say in short what the file holds (`sweep.results.summary`):

    PAR1 | pages | note, its length, mark | mark, digest | footer | length of the footer | PAR1

A tool that rewrites the file leaves all of it out, so neither a digest nor a note outlives the
bytes that it is of.
A manifest, which is JSON, has its digest under a key of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

MARK = b"\x00sweep\xf1\x8d-sha256\x00"
_SIZE = len(MARK) + hashlib.sha256().digest_size
_NOTE = struct.Struct("<I16s")  # the length of the note, and what tells that there is one
_NOTE_MARK = b"\x00sweep\xf1\x8d-note\x00\x00\x00"
_MAGIC = b"PAR1"
_BLOCK = 2**22  # bytes read at once: a file of all records must not be in memory
_TAIL = struct.Struct("<I4s")  # the length of the footer, the magic
_KEY, _KIND = "checksum", "sha256:"


def sealed_json(content: Mapping[str, object]) -> str:
    """Return a mapping as JSON, with the digest of all else in it; a digest of before goes."""
    rest = {key: value for key, value in content.items() if key != _KEY}
    return json.dumps({_KEY: _digest_of(rest), **rest}, indent=1) + "\n"


def damage_of_json(content: Mapping[str, object]) -> str | None:
    """Say in a few words what is wrong with a mapping that was read from JSON.

    Returns:
        None for what was sealed, and for what has no digest: it is older, or written by hand.
    """
    rest = {key: value for key, value in content.items() if key != _KEY}
    # The key itself may be what is damaged, but hardly both it and its value.
    digests = [value for value in content.values() if str(value).startswith(_KIND)]
    if _KEY not in content and not digests:
        return None
    return None if content.get(_KEY) == _digest_of(rest) else "it does not say what was written"


def _digest_of(content: Mapping[str, object]) -> str:
    return _KIND + hashlib.sha256(json.dumps(content, indent=1).encode()).hexdigest()


def add(path: Path, note: bytes = b"") -> None:
    """Put the checksum into a Parquet file that was just written and has none.

    Args:
        path: the file.
        note: bytes that are kept in it, under the checksum too; none where it is empty.

    Raises:
        ValueError: it is no Parquet file.
    """
    kept = note + _NOTE.pack(len(note), _NOTE_MARK) if note else b""
    with path.open("r+b") as file:
        place = _footer(file)
        if place is None:
            raise ValueError(f"{path}: is no Parquet file")
        file.seek(place)
        footer = file.read()
        file.seek(place)
        file.write(kept + footer)
        place += len(kept)
        file.flush()
        digest = _digest(file, place, place)
        file.seek(place)
        file.write(MARK + digest + footer)


def damage(path: Path) -> str | None:
    """Read a whole Parquet file; say in a few words what is wrong with its bytes.

    Returns:
        None for a file that is as it was written, and for one without a checksum whose ends are
        those of a Parquet file: what is inside of that, its readers must find out.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
    """
    return inspect(path)[0]


def inspect(path: Path) -> tuple[str | None, bytes]:
    """Read a whole Parquet file; say what `damage` does, and return its note.

    Returns:
        The note is empty where the file has none, no checksum, or is damaged.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
    """
    if path.is_dir():
        return "it is a folder", b""
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size == 0:
            return "it is empty", b""
        footer = _footer(file)
        if footer is None:
            return "it does not begin and end as a Parquet file does", b""
        found = _found(file, footer)
        if found is None:
            # Where the mark lies depends on the footer's length, which may be what is damaged.
            return "its checksum is not at its place" if _has_mark(file) else None, b""
        if _digest(file, footer - _SIZE, footer) != found:
            return "its bytes are not those that were written", b""
        return None, _note(file, footer - _SIZE)


def covered(path: Path) -> bool:
    """Whether a file has a checksum, so that `damage` knows all there is to know of its bytes."""
    with path.open("rb", buffering=0) as file:
        footer = _footer(file)
        return footer is not None and _found(file, footer) is not None


def _found(file: BinaryIO, footer: int) -> bytes | None:
    """The digest before the footer."""
    mark = footer - _SIZE
    found = _at(file, mark, _SIZE) if mark >= len(_MAGIC) else b""
    return found[len(MARK) :] if found[: len(MARK)] == MARK else None


def _note(file: BinaryIO, stop: int) -> bytes:
    """The note that ends before a place; empty where there is none."""
    start = stop - _NOTE.size
    if start < len(_MAGIC):
        return b""
    length, mark = _NOTE.unpack(_at(file, start, _NOTE.size))
    if mark != _NOTE_MARK or length > start - len(_MAGIC):
        return b""
    return _at(file, start - length, length)


def _footer(file: BinaryIO) -> int | None:
    """Where the footer of a Parquet file begins; None where it has none."""
    size = os.fstat(file.fileno()).st_size
    if size < len(_MAGIC) + _TAIL.size or _at(file, 0, len(_MAGIC)) != _MAGIC:
        return None
    length, magic = _TAIL.unpack(_at(file, size - _TAIL.size, _TAIL.size))
    start: int = size - _TAIL.size - length
    return start if magic == _MAGIC and start >= len(_MAGIC) else None


def _at(file: BinaryIO, start: int, size: int) -> bytes:
    return b"".join(_blocks(file, start, start + size))


def _blocks(file: BinaryIO, start: int, stop: int | None) -> Iterator[bytes]:
    """Yield the bytes from one place to another, or to the end."""
    file.seek(start)
    while stop is None or start < stop:
        block = file.read(_BLOCK if stop is None else min(_BLOCK, stop - start))
        if not block:
            return
        start += len(block)
        yield block


def _digest(file: BinaryIO, before: int, after: int) -> bytes:
    """The SHA-256 of the bytes before one place and of those after another."""
    digest = hashlib.sha256()
    for block in _blocks(file, 0, before):
        digest.update(block)
    for block in _blocks(file, after, None):
        digest.update(block)
    return digest.digest()


def _has_mark(file: BinaryIO) -> bool:
    end = b""
    for block in _blocks(file, 0, None):
        if MARK in end + block:
            return True
        end = block[-len(MARK) :]
    return False
