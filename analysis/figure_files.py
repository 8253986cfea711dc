"""Draw figures and write their files, in a second process beside the work of the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from analysis.artifact import figures
from analysis.names import given, learn
from analysis.render import to_csv

MOST_DRAWN_HERE = 2  # figures, up to which a second process costs more than it saves


def draw_figure(name: str, frame: pd.DataFrame, out: Path, marks: Sequence[str] = ()) -> None:
    """Draw a registered figure from its data; write it as PDF and PNG, and the data as CSV.

    `marks` say in the picture what kind of data it shows.
    """
    from analysis.figures.writing import write_pictures  # drawing takes seconds to import

    (out / f"{name}.csv").write_text(to_csv(frame))
    write_pictures(figures()[name], frame, out, marks)


def _draw_elsewhere(
    labels: Mapping[str, str | None],
    name: str,
    frame: pd.DataFrame,
    out: Path,
    marks: Sequence[str],
) -> None:
    """Draw in a process that has not read the records, and so not their labels."""
    learn(labels)
    draw_figure(name, frame, out, marks)


@dataclass(frozen=True)
class _Job:
    future: Future[None]
    name: str
    frame: pd.DataFrame
    out: Path
    marks: Sequence[str]


class FigureWriter:
    """Draws what it is given, beside if there is enough of it; all is drawn on leaving.

    Raises:
        Exception: on leaving, whatever went wrong in drawing.
    """

    def __init__(self, count: int) -> None:
        # Forking a process with running threads may deadlock; a spawned one starts clean.
        alone = count <= MOST_DRAWN_HERE
        self._pool = None if alone else ProcessPoolExecutor(1, get_context("spawn"))
        self._jobs: list[_Job] = []
        if self._pool is not None:
            self._pool.submit(figures)  # its imports take seconds: begin with them at once

    def __enter__(self) -> FigureWriter:
        return self

    def draw(self, name: str, frame: pd.DataFrame, out: Path, marks: Sequence[str]) -> None:
        """Begin to draw a figure."""
        if self._pool is None:
            draw_figure(name, frame, out, marks)
        else:
            future = self._pool.submit(_draw_elsewhere, given(), name, frame, out, marks)
            self._jobs.append(_Job(future, name, frame, out, marks))

    def _finish(self) -> None:
        """Draw what the other process has not begun, and wait for the rest."""
        for job in reversed(self._jobs):
            if job.future.cancel():
                draw_figure(job.name, job.frame, job.out, job.marks)
        for job in self._jobs:
            if not job.future.cancelled():
                job.future.result()
        self._jobs.clear()

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._finish()
        if self._pool is not None:  # after a mistake nobody should wait for imports
            self._pool.shutdown(wait=error is None, cancel_futures=True)
