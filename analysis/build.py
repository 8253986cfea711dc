"""Build tables and figures and write their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.artifact import Agreement, Block, Figure, Table
from analysis.figure_files import FigureWriter
from analysis.records import Records
from analysis.render import to_csv, to_latex, to_markdown


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
        figures: each figure asked for, and its pages, 0 where there was nothing to draw.
        agreements: title of a table or figure of the paper -> how near ours is.
        out: where the files are.
    """

    tables: Mapping[str, tuple[Table, Printed | None]]
    figures: Mapping[str, tuple[Figure, int]]
    agreements: Mapping[str, Agreement]
    out: Path

    @property
    def written(self) -> list[str]:
        """The names of what was written."""
        return [n for n, (_, printed) in self.tables.items() if printed is not None] + [
            n for n, (_, pages) in self.figures.items() if pages
        ]

    @property
    def empty(self) -> list[str]:
        """The names of what the records had nothing for, and should."""
        asked: list[Table | Figure] = [table for table, _ in self.tables.values()]
        asked += [figure for figure, _ in self.figures.values()]
        return [a.name for a in asked if not a.optional and a.name not in self.written]


def build(
    chosen_tables: Sequence[Table],
    chosen_figures: Sequence[Figure],
    records: Records,
    out: Path,
    writer: FigureWriter | None = None,
) -> Built:
    """Build everything and write CSV, LaTeX, Markdown, PDF and PNG to `out`.

    With a `writer`, figures are drawn when that is left.
    """
    out.mkdir(parents=True, exist_ok=True)
    writer = writer or FigureWriter(0)
    drawn, agreements = {}, {}
    for figure in chosen_figures:
        frame = figure.build(records)
        drawn[figure.name] = (figure, 0 if frame.empty else figure.pages(frame))
        if not frame.empty:
            writer.draw(figure.name, frame, out, records.marks)
            if figure.agree:
                agreements[figure.title] = figure.agree(frame)
    made = {table.name: (table, write_table(table, records, out)) for table in chosen_tables}
    compared = {
        table.title: table.agree(printed.frame)
        for table, printed in made.values()
        if table.agree and printed is not None
    }
    return Built(made, drawn, compared | agreements, out)


def write_table(table: Table, records: Records, out: Path) -> Printed | None:
    """Write a table as CSV, LaTeX and Markdown; return it, None where there was no data."""
    frame = table.build(records)
    if frame.empty:
        return None
    blocks = table.layout(frame)
    caption = ". ".join([*records.marks, table.caption])
    (out / f"{table.name}.csv").write_text(to_csv(_marked(frame, records)))
    (out / f"{table.name}.md").write_text(
        f"## {table.title}\n\n{caption}\n\n{to_markdown(blocks)}"
    )
    (out / f"{table.name}.tex").write_text(to_latex(blocks, caption, table.name))
    return Printed(frame, blocks)


def _marked(frame: pd.DataFrame, records: Records) -> pd.DataFrame:
    return frame.assign(leaky=True) if records.leaky else frame
