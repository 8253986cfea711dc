"""A bar on standard error that shows how far a training has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

_WIDTH = 30  # of the bar, in characters
_EVERY = 0.2  # seconds between two lines


class Bar:
    """Shows finished steps, elapsed and remaining time, and steps per second, in one line.

    Args:
        steps: of the whole training.
        begun: steps that were finished before.
        stream: where to; default: standard error.
        clock: of seconds.
    """

    def __init__(
        self,
        steps: int,
        begun: int = 0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.steps, self.begun = steps, begun
        self._stream, self._clock = stream or sys.stderr, clock
        self._start = self._shown = clock()

    def __call__(self, step: int) -> None:
        """Show that so many steps are finished."""
        now, last = self._clock(), step == self.steps
        if not last and now - self._shown < _EVERY:
            return
        self._shown = now
        self._stream.write(f"\r{self.text(step, now - self._start)}" + ("\n" if last else ""))
        self._stream.flush()

    def text(self, step: int, seconds: float) -> str:
        """Return the line after a step, `seconds` after the start."""
        filled = round(_WIDTH * step / self.steps)
        rate = (step - self.begun) / max(seconds, 1e-9)
        left = (self.steps - step) / rate if rate else float("inf")
        bar = "#" * filled + "-" * (_WIDTH - filled)
        return (
            f"training [{bar}] {step:,}/{self.steps:,} steps, {seconds:.0f}s, "
            f"{left:.0f}s left, {rate:.0f} steps/s"
        )
