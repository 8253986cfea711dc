"""What a person sees while a sweep runs."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.cost.calibration import Rates
from sweep.driver.forecast import Forecast, Work, time_left
from sweep.driver.plan import Task
from sweep.pack.run import Job, Summary

_SECONDS_BETWEEN_LINES = 2.0  # where the output is no terminal
_SHOWN = 12  # running packs


def duration(seconds: float) -> str:
    """A duration as people write it: 12s, 3m40s, 2h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


class Progress:
    """Counts of packs and trials; a live display, or plain lines where there is no terminal."""

    def __init__(
        self, name: str, tasks: list[Task], complete: int, slots: int, rates: Rates | None = None
    ) -> None:
        self.name = name
        self.console = Console(highlight=False)
        self.rates = rates if rates is not None else Rates()
        self.forecast = Forecast(self.rates)
        self.waiting = {task.job.pack.pack_id: _work(task) for task in tasks}  # in their order
        self.work = dict(self.waiting)
        self.packs = len(tasks)
        self.trials = sum(len(task.job.pack) for task in tasks)
        self.complete_before = complete
        self.slots = slots
        self.packs_done = self.trials_done = self.diverged = self.failed = 0
        self.running: dict[str, tuple[Job, float]] = {}
        self.failures: deque[str] = deque(maxlen=5)
        self.started_at = time.monotonic()
        self._last_line = 0.0
        self._live = Live(
            get_renderable=self.render,
            console=self.console,
            refresh_per_second=2,
            transient=True,
        )

    def __enter__(self) -> Progress:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self._live.stop()

    def started(self, job: Job) -> None:
        """A worker began with a pack."""
        self.waiting.pop(job.pack.pack_id, None)
        self.running[job.pack.pack_id] = (job, time.monotonic())

    def finished(self, job: Job, summary: Summary) -> None:
        """A pack's records are on disk."""
        self.running.pop(job.pack.pack_id, None)
        self.waiting.pop(job.pack.pack_id, None)
        self.packs_done += 1
        self.trials_done += summary.trials
        self.diverged += summary.diverged
        self.failed += summary.failed
        if summary.error is None and not summary.found:
            spent = (summary.train_seconds, summary.evaluation_seconds, summary.seconds)
            self.forecast.learn(self.work[job.pack.pack_id], *spent)
        if summary.error is not None:
            self.failures.append(f"{title(job)}: {summary.error}")
        self._line(job, summary)

    def retried(self, job: Job, error: str) -> None:
        """A pack's worker died, and the pack is tried again."""
        self.running.pop(job.pack.pack_id, None)
        self.waiting[job.pack.pack_id] = self.work[job.pack.pack_id]
        self.console.print(f"tried again: {title(job)}: {error}")

    def _line(self, job: Job, summary: Summary) -> None:
        if self.console.is_terminal:
            return
        now = time.monotonic()
        last = self.packs_done == self.packs
        if summary.error is None and not last and now - self._last_line < _SECONDS_BETWEEN_LINES:
            return
        self._last_line = now
        outcome = summary.error if summary.error is not None else duration(summary.seconds)
        print(f"{self.status()} | {title(job)}: {outcome}", flush=True)

    def elapsed(self) -> float:
        """Seconds since the sweep began."""
        return time.monotonic() - self.started_at

    def seconds_left(self) -> float | None:
        """What the packs that run and wait still take; None while nothing is known of any."""
        if not self.packs_done and not self.rates.packs:
            return None
        now = time.monotonic()
        running = {
            pack: (self.work[pack], now - start)
            for pack, (_, start) in self.running.copy().items()
        }
        return time_left(self.forecast, list(self.waiting.values()), running, self.slots)

    def status(self) -> str:
        """The counts in one line."""
        rate = self.trials_done / max(self.elapsed(), 1e-9) * 60
        left = self.seconds_left()
        return (
            f"{self.packs_done}/{self.packs} packs, {self.trials_done}/{self.trials} trials, "
            f"{self.diverged} diverged, {self.failed} failed, {rate:.0f} trials/min, "
            f"{'?' if left is None else duration(left)} left"
        )

    def render(self) -> RenderableType:
        """The live display."""
        head = Text.assemble((self.name, "bold cyan"), f"  {duration(self.elapsed())}")
        if self.complete_before:
            head.append(f"  ({self.complete_before} trials were complete before)", "dim")
        bar = ProgressBar(total=max(self.trials, 1), completed=self.trials_done, width=60)
        now_running = Table.grid(padding=(0, 2))
        running = list(self.running.values())
        for job, start in running[:_SHOWN]:
            now_running.add_row(
                Text("  running", "green"),
                *title(job).split(" / "),
                f"{len(job.pack)} trials",
                duration(time.monotonic() - start),
            )
        if len(running) > _SHOWN:
            now_running.add_row(Text(f"  and {len(running) - _SHOWN} more", "dim"))
        failures = [
            Text(f"  failed  {text}", "red", overflow="ellipsis") for text in self.failures
        ]
        return Group(head, bar, Text(self.status()), now_running, *failures)


def _work(task: Task) -> Work:
    price = task.price
    return Work(task.job.pack.first.defense, price.train_flops, price.evaluation_flops)


def title(job: Job) -> str:
    first = job.pack.first
    return f"{first.dataset} / {first.network} / {first.defense}"
