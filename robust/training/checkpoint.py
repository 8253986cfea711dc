"""Where a training stands, in a file that is wholly there or not there at all.

A training that is interrupted and taken up from its checkpoint ends with the same parameters, bit
for bit, as one that was left alone on the same machine.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
import zipfile
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

State = dict[str, Any]  # of what `torch.load(weights_only=True)` accepts: tensors and plain values

FORMAT = 2  # raised whenever a state of before can no longer be taken up
# Writing may take this share of the time between two checkpoints: large packs save more rarely.
COST = 0.01
TEMPORARY = ".tmp-"
UNUSABLE = ".unusable"  # ends the name of a file that was set aside

_log = logging.getLogger(__name__)


@runtime_checkable
class Stateful(Protocol):
    """A callback of `robust.train` that must go on from where it was."""

    def state_dict(self) -> State:
        """Return everything that later calls depend on."""

    def load_state_dict(self, state: State) -> None:
        """Go on from there."""


class CheckpointFile:
    """The last checkpoint of one training."""

    def __init__(self, path: Path, key: str, every_seconds: float) -> None:
        """Start the clock.

        Args:
            path: of the file; its folder is made when first needed.
            key: what the training depends on besides the arguments of `robust.train` (which
                data, which version of the code); a checkpoint with another one is ignored.
            every_seconds: the least time between two checkpoints.
        """
        self.path, self.key, self.every_seconds = path, key, every_seconds
        self._wait_until(every_seconds)

    def due(self) -> bool:
        """Return whether it is time for the next one."""
        return time.monotonic() >= self._next

    def save(self, call: str, state: State) -> None:
        """Replace the file; what goes wrong is logged, as training can go on without it.

        Args:
            call: what the arguments of the training hash to.
            state: where it stands.
        """
        start = time.monotonic()
        whole = {"format": FORMAT, "key": self.key, "call": call, "state": state}
        try:
            _write(self.path, whole)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            _log.warning("checkpoint %s cannot be written: %s", self.path, error)
        self._wait_until(max(self.every_seconds, (time.monotonic() - start) / COST))

    def load(self, call: str) -> State | None:
        """Return the state in the file; None where there is none that fits this training."""
        if not self.path.exists():
            return None
        try:
            whole = _read(self.path)
            found = (whole["format"], whole["key"], whole["call"])
            state: State = whole["state"]
        except Exception as error:  # whatever a damaged file makes the reader raise
            self.set_aside(error)
            return None
        if found != (FORMAT, self.key, call):
            _log.warning("checkpoint %s is of another training and is ignored", self.path)
            return None
        return state

    def set_aside(self, error: Exception) -> None:
        """Rename a file that cannot be used, which must not be met again, and say why."""
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        aside = self.path.with_suffix(UNUSABLE)
        try:
            self.path.replace(aside)
        except OSError as renaming:  # it is overwritten by the next one
            problem = f"{problem} ({renaming})"
        _log.warning(
            "checkpoint %s cannot be read and is ignored: %s; it is kept as %s",
            self.path,
            problem,
            aside.name,
        )

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.path.unlink(missing_ok=True)

    def _wait_until(self, seconds: float) -> None:
        self._next = time.monotonic() + seconds


def read_key(path: Path) -> str | None:
    """Return a checkpoint's key without reading its tensors; None where it cannot be read."""
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return str(whole["key"])
    except Exception:  # whatever a damaged file makes the reader raise
        return None


def _read(path: Path) -> State:
    with zipfile.ZipFile(path) as archive:  # torch itself does not compare the checksums
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"{damaged} has another checksum")
    whole: State = torch.load(path, map_location="cpu", weights_only=True)
    return whole


def _write(path: Path, whole: State) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        with temporary.open("wb") as file:
            torch.save(whole, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
