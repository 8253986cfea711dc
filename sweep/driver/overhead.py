"""Where the time of a sweep's workers goes that trains and evaluates nothing.

A slot runs one pack at a time. Its time is lost before the first pack starts (Ray, imports),
around each pack (messages, data, records, waiting for the next one), and at the end, when
nothing is left to start and other slots still train.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class SlotTime:
    """Counts the slots' time from one event to the next.

    Attributes:
        slots: how many packs run at once.
        useful: seconds of training and evaluation.
        start, around, end: seconds lost, over all slots.
        packs: finished.
    """

    def __init__(
        self, slots: int, packs: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.slots, self.waiting, self._clock = slots, packs, clock
        self.useful = self.start = self.around = self.end = 0.0
        self.packs = 0
        self._began = self._last = clock()
        self._running: dict[str, float] = {}
        self._any_started = False

    def started(self, pack: str) -> None:
        """A worker began with a pack."""
        self._advance()
        self._any_started = True
        self._running[pack] = self._last
        self.waiting -= 1

    def finished(self, pack: str, useful: float) -> float:
        """A pack ended after so many seconds of training and evaluation; return what else it took.

        That is its own time without them and the slots' idle time since the last event.
        """
        idle = self._advance()
        began = self._running.pop(pack, None)
        if began is None:  # lost before it began
            self.waiting -= 1
            return 0.0
        lost = max(0.0, self._last - began - useful)
        self.around += lost
        self.useful += useful
        self.packs += 1
        return lost + idle

    def retried(self, pack: str) -> None:
        """A pack's worker died: its time is lost, and the pack waits again."""
        self._advance()
        began = self._running.pop(pack, None)
        if began is not None:
            self.around += self._last - began
            self.waiting += 1

    def full(self) -> bool:
        """Whether every slot that has something to run runs it."""
        return len(self._running) >= self.slots or self.waiting <= 0

    def share(self) -> float:
        """The lost share of all slots' time until now."""
        self._advance()
        total = (self._last - self._began) * self.slots
        return max(0.0, 1 - self.useful / total) if total > 0 else 0.0

    def parts(self) -> str:
        """The lost time in words: of one slot at the start and the end, around one pack."""
        self._advance()
        return (
            f"{self.start / self.slots:.0f}s to start, "
            f"{self.around / max(1, self.packs):.1f}s around each pack, "
            f"{self.end / self.slots:.0f}s at the end"
        )

    def _advance(self) -> float:
        """Count the idle slots' time since the last event; return it if packs were waiting."""
        now = self._clock()
        idle = max(0, self.slots - len(self._running)) * (now - self._last)
        self._last = now
        if not self._any_started:
            self.start += idle
            return 0.0
        if self.waiting > 0:
            self.around += idle
            return idle
        self.end += idle
        return 0.0
