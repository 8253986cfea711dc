"""A safetensors file's header, and a checksum of the whole file in it (standard library only).

    length of the header | {"__metadata__": {"sha256": digest, ...}, "name": {...}, ...} | tensors

The format allows no byte behind the tensors, so the digest is a text of the header. It is that of
all bytes of the file, where its own 64 digits count as zeros: every changed bit is found, in the
length, the header, the tensors, and the digest itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import BinaryIO

KEY = "sha256"
BLANK = "0" * 64  # what a writer puts under the key, for `seal` to replace
_PLACE = f'"{KEY}":"'.encode()  # within a text of the header the quotes would be escaped
_LENGTH = struct.Struct("<Q")
_BLOCK = 2**22  # bytes read at once: a pack of large networks must not be in memory twice


def seal(path: Path) -> None:
    """Put the checksum into a file that was just written with `BLANK` in its place.

    The header's keys are put in order first, so that equal networks are equal files.

    Raises:
        ValueError: the file has no such place.
    """
    with path.open("r+b") as file:
        header = _in_order(_header(file))
        file.seek(_LENGTH.size)
        file.write(header)
        place = _place(header)
        if place is None:
            raise ValueError(f"{path}: its header has no {KEY} of {len(BLANK)} digits")
        digest = _digest(file, place)
        file.seek(place)
        file.write(digest)


def damage(path: Path) -> str | None:
    """Read a whole file; say in a few words what is wrong with its bytes, None if nothing is.

    Raises:
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        header = _header(file)
        place = _place(header)
        if place is None:
            return "its checksum is not at its place" if header else "its header is no header"
        start = place - _LENGTH.size
        if _digest(file, place) != header[start : start + len(BLANK)]:
            return "its bytes are not those that were written"
    return None


def metadata(path: Path) -> dict[str, str]:
    """Return the texts of a file's header; no tensor is read and no checksum compared.

    Raises:
        ValueError: the file has no header of this format.
        FileNotFoundError: it is not there.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        found = json.loads(_header(file))
    texts = found.get("__metadata__", {}) if isinstance(found, dict) else None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("its header holds no texts")
    return texts


def _in_order(header: bytes) -> bytes:
    """The same header with sorted keys, padded with spaces as before; itself if it is no JSON."""
    try:
        found = json.loads(header)
    except ValueError:
        return header
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return text.ljust(len(header)) if len(text) <= len(header) else header


def _header(file: BinaryIO) -> bytes:
    """The JSON of the header; nothing where its length is not one."""
    size = os.fstat(file.fileno()).st_size
    if size < _LENGTH.size:
        return b""
    (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
    return file.read(length) if length <= size - _LENGTH.size else b""


def _place(header: bytes) -> int | None:
    """Where in the file the digits of the checksum begin."""
    start = header.find(_PLACE) + len(_PLACE)
    end = start + len(BLANK)
    found = start >= len(_PLACE) and header[end : end + 1] == b'"'
    return start + _LENGTH.size if found else None


def _digest(file: BinaryIO, place: int) -> bytes:
    """The SHA-256 of all bytes with zeros at the checksum's own place, as hexadecimal digits."""
    digest = hashlib.sha256()
    file.seek(0)
    digest.update(file.read(place))
    digest.update(BLANK.encode())
    file.seek(place + len(BLANK))
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest().encode()
