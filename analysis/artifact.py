"""What a table and a figure are: data from `build`; apart from it, how to print or draw it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd

from analysis.commands import RUN
from analysis.records import Records

if TYPE_CHECKING:  # drawing takes seconds to import, and a table needs none
    from matplotlib.figure import Figure as Canvas


@dataclass(frozen=True)
class Cell:
    """One printed cell: its text in plain form, its marks, and in the report what is behind it.

    Attributes:
        text: what is printed.
        bold: best of its column.
        marked: within half a point of the best of its column.
        beyond: away from the paper's value by more than noise.
        trials: ids of the trials that were chosen, the first of them where they are many.
        numbers: test samples, ends of the 95% interval in percent, trials chosen.
    """

    text: str
    bold: bool = False
    marked: bool = False
    beyond: bool = False
    trials: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()


@dataclass(frozen=True)
class Row:
    """A label (plain text, TeX) and the cells beside it."""

    label: str
    tex_label: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """A printed table, or one norm's part of it: a header line and rows.

    Attributes:
        title: printed above, such as a data set; equal titles of neighbours make one table.
        corner: head of the label column, such as `L2, ρ =`, as plain text and as TeX.
        columns: the heads of the other columns.
    """

    title: str
    corner: tuple[str, str]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Agreement:
    """How near ours is to a table or figure of the paper, as it is printed.

    Attributes:
        winners: columns whose best defense is the paper's, of how many.
        difference: mean absolute difference, in the table's unit.
        correlation: mean rank correlation of the columns.
        beyond: cells that differ by more than noise, of how many.
        remark: what else a reader needs to compare.
    """

    winners: str = ""
    difference: str = ""
    correlation: str = ""
    beyond: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the report. `build` returns tidy rows, unrounded; the others print them.

    Attributes:
        layout: the table itself.
        compare: the paper's numbers with ours minus them, where the paper has such a table.
        compared: how `compare` sets the two side by side.
        agree: how near ours is to the paper's, where the paper has such a table.
        behind: what stands behind each cell (trials, settings chosen), where that helps.
        experiment: the `+experiment=` whose records it needs; empty for that of the records.
        datasets: the only image sets it reads; None for all data.
        paper: whether it is one of the paper's twelve.
        script: what makes those records.
        first: whether the report shows it before the paper's.
        optional: whether having nothing for it is not worth a word.
    """

    name: str
    title: str
    caption: str
    build: Callable[[Records], pd.DataFrame]
    layout: Callable[[pd.DataFrame], tuple[Block, ...]]
    compare: Callable[[pd.DataFrame], tuple[Block, ...]] | None = None
    compared: str = "in brackets ours minus the paper's"
    agree: Callable[[pd.DataFrame], Agreement] | None = None
    behind: Callable[[pd.DataFrame], tuple[Block, ...]] | None = None
    experiment: str = "paper_full"
    datasets: tuple[str, ...] | None = None
    paper: bool = False
    script: str = RUN
    first: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Figure:
    """A figure of the report. `build` returns what is drawn as tidy rows; `draw` draws it.

    Attributes:
        draw: returns the figure, or its pages where it has several.
        pages: how many pages a frame takes.
        narrow: whether the report has it in a second form, for narrow screens.
        first: whether the report shows it before the paper's.
        agree: how near ours is to what the paper says of its figure.
        optional: whether having nothing for it is not worth a word.
    """

    name: str
    title: str
    caption: str
    build: Callable[[Records], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Canvas | Sequence[Canvas]]
    pages: Callable[[pd.DataFrame], int] = lambda frame: 1
    narrow: bool = False
    first: bool = False
    optional: bool = False
    agree: Callable[[pd.DataFrame], Agreement] | None = None
    experiment: str = "paper_full"
    datasets: tuple[str, ...] | None = None
    paper: bool = False
    script: str = RUN

    def picture(self, page: int) -> str:
        """Return the name of a page's picture, without its suffix."""
        return self.name if page == 1 else f"{self.name}-{page}"


def _modules(package: str) -> list[ModuleType]:
    folder = importlib.import_module(package)
    return [
        importlib.import_module(f"{package}.{module.name}")
        for module in pkgutil.iter_modules(folder.__path__)
    ]


@cache
def tables() -> dict[str, Table]:
    """Return every table by name: the `TABLE` of each module in `analysis/tables`."""
    found = (getattr(module, "TABLE", None) for module in _modules("analysis.tables"))
    return {table.name: table for table in sorted(filter(None, found), key=_paper_first)}


@cache
def figures() -> dict[str, Figure]:
    """Return every figure by name: the `FIGURE` of each module in `analysis/figures`."""
    found = (getattr(module, "FIGURE", None) for module in _modules("analysis.figures"))
    return {figure.name: figure for figure in sorted(filter(None, found), key=_paper_first)}


def _paper_first(artifact: Table | Figure) -> tuple[bool, int, str]:
    number = "".join(c for c in artifact.name if c.isdigit())
    return not artifact.paper, int(number or 0), artifact.name


def chosen(only: tuple[str, ...]) -> tuple[list[Table], list[Figure]]:
    """Return the tables and figures named, or all of them.

    Raises:
        ValueError: a name that is neither.
    """
    all_are_tables = bool(only) and all(name in tables() for name in only)
    drawn = {} if all_are_tables else figures()
    known = [*tables(), *drawn]
    for name in only:
        if name not in known:
            raise ValueError(f"only={name!r} is unknown; allowed: {', '.join(known)}")
    return (
        [table for name, table in tables().items() if not only or name in only],
        [figure for name, figure in drawn.items() if not only or name in only],
    )
