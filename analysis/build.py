"""Build tables and figures and write their files; figures are drawn beside by a second process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from analysis.artifact import Block, Figure, Table, figures
from analysis.records import Records
from analysis.render import to_csv, to_latex, to_markdown

FEW = 2  # figures below which a second process costs more than it saves


@dataclass(frozen=True)
class Printed:
    """A table that was built: its data and how it prints."""

    frame: pd.DataFrame
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Built:
    """What was asked for and what came of it, in the order of the report.

    Attributes:
        tables: each table asked for and what it became, None where the records had nothing.
        figures: each figure asked for, and whether it was drawn.
        out: where the files are.
    """

    tables: Mapping[str, tuple[Table, Printed | None]]
    figures: Mapping[str, tuple[Figure, bool]]
    out: Path

    @property
    def written(self) -> list[str]:
        """The names of what was written."""
        return [n for n, (_, printed) in self.tables.items() if printed is not None] + [
            n for n, (_, drawn) in self.figures.items() if drawn
        ]

    @property
    def empty(self) -> list[str]:
        """The names of what the records had nothing for."""
        return [n for n in (*self.tables, *self.figures) if n not in self.written]


def build(
    chosen_tables: Sequence[Table], chosen_figures: Sequence[Figure], records: Records, out: Path
) -> Built:
    """Build everything and write CSV, LaTeX, Markdown, PDF and PNG to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    with _Drawing(len(chosen_figures) > FEW) as drawing:
        drawn = {f.name: (f, drawing.start(f, records, out)) for f in chosen_figures}
        made = {t.name: (t, write_table(t, records, out)) for t in chosen_tables}
    return Built(made, drawn, out)


class _Drawing:
    """Draws figures in another process while tables are made, or at once."""

    def __init__(self, beside: bool) -> None:
        # Forking a process with running threads may deadlock; a spawned one starts clean.
        self._pool = ProcessPoolExecutor(1, get_context("spawn")) if beside else None
        self._pending: list[Future[None]] = []

    def __enter__(self) -> _Drawing:
        return self

    def start(self, figure: Figure, records: Records, out: Path) -> bool:
        """Begin to draw a figure; return whether the records had anything for it."""
        frame = figure.build(records)
        if frame.empty:
            return False
        if self._pool is None:
            draw_figure(figure.name, frame, out)
        else:
            self._pending.append(self._pool.submit(draw_figure, figure.name, frame, out))
        return True

    def __exit__(self, *_: object) -> None:
        try:
            for future in self._pending:
                future.result()
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)


def write_table(table: Table, records: Records, out: Path) -> Printed | None:
    """Write a table as CSV, LaTeX and Markdown; return it, None where there was no data."""
    frame = table.build(records)
    if frame.empty:
        return None
    blocks = table.layout(frame)
    (out / f"{table.name}.csv").write_text(to_csv(frame))
    (out / f"{table.name}.md").write_text(
        f"## {table.title}\n\n{table.caption}\n\n{to_markdown(blocks)}"
    )
    (out / f"{table.name}.tex").write_text(to_latex(blocks, table.caption, table.name))
    return Printed(frame, blocks)


def draw_figure(name: str, frame: pd.DataFrame, out: Path) -> None:
    """Draw a registered figure from its data and write all its files."""
    (out / f"{name}.csv").write_text(to_csv(frame))
    canvas = figures()[name].draw(frame)
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")  # laid out once, for both files
    canvas.savefig(out / f"{name}.pdf", metadata={"CreationDate": None})
    canvas.savefig(out / f"{name}.png", dpi=200)
