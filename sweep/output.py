"""What is told to the person at the keyboard, who may have stopped listening.

A pipe that is closed (`| head -1`), a stream that never was open (`>&-`) and a full disk under a
log must not stop a sweep: what cannot be written is dropped, and that is said once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from typing import TextIO

_NAMES = {1: "standard output", 2: "standard error"}
_said: set[str] = set()
_lock = threading.Lock()


def warn(text: str) -> None:
    """Print one line to stderr; never raise."""
    stream = sys.stderr
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):  # broken, or closed: there is no one to tell
        print(f"warning: {' '.join(text.split())}", file=stream, flush=True)


def warn_once(text: str) -> None:
    """The same, once per process and text."""
    with _lock:
        known = text in _said
        _said.add(text)
    if not known:
        warn(text)


def outlive_readers() -> None:
    """Let the standard streams of this process lose what can no longer be written.

    Where one is not open, the null device takes its place: a file that is opened later must not
    get its number, to which other programs write.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
    sys.stdout, sys.stderr = _lasting(sys.stdout, 1), _lasting(sys.stderr, 2)


class _Lasting(io.TextIOWrapper):
    """A text stream whose file is replaced by the null device once it cannot be written."""

    lost = False

    def write(self, text: str) -> int:
        """Write, or lose the text."""
        try:
            return super().write(text)
        except (OSError, ValueError) as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or lose what was written before."""
        try:
            super().flush()
        except (OSError, ValueError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if self.lost:
            return
        self.lost = True
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
        reason = error.strerror if isinstance(error, OSError) else str(error)
        warn(f"{_NAMES[self.fileno()]} cannot be written ({reason}); the sweep goes on without it")


def _lasting(stream: TextIO | None, number: int) -> TextIO:
    if stream is None:
        binary, encoding = open(number, "wb", closefd=False), "utf-8"  # noqa: PTH123, SIM115
        return _Lasting(binary, encoding, "backslashreplace")
    if isinstance(stream, _Lasting) or not isinstance(stream, io.TextIOWrapper):
        # It lasts already, or is someone else's, such as a notebook's.
        return stream
    encoding = stream.encoding
    return _Lasting(stream.detach(), encoding, "backslashreplace", line_buffering=number == 2)
