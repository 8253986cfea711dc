"""One section per table and figure: title, caption, body, and what is folded away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from analysis.artifact import Block, Figure, Table
from analysis.build import Built, Printed
from analysis.render import to_html

MOST_OPEN = 12  # blocks, beyond which each title folds away on its own


@dataclass(frozen=True)
class Section:
    """A part of the page and how the menu calls it."""

    name: str
    title: str
    html: str

    @property
    def short(self) -> str:
        """The paper's number, or the name: what the menu has room for."""
        head = self.title.split(":")[0]
        numbered = head.startswith(("Table ", "Figure ")) and head.split()[1].isdigit()
        return head if numbered else self.name.capitalize()


def sections(built: Built, wanted: Callable[[Table | Figure], bool]) -> list[Section]:
    """Return the sections of the artifacts wanted that there are, in order."""
    made = [
        Section(table.name, table.title, _table(table, printed))
        for table, printed in built.tables.values()
        if printed is not None and wanted(table)
    ]
    made += [
        Section(figure.name, figure.title, _figure(figure, pages))
        for figure, pages in built.figures.values()
        if pages and wanted(figure)
    ]
    return made


def _section(artifact: Table | Figure, body: str) -> str:
    """Return a section, folded unless it is the paper's or the report's chief figure."""
    head = f"<h3>{escape(artifact.title)}</h3>"
    caption = f'<p class="caption">{escape(artifact.caption)}</p>'
    whole = f"{caption}{body}"
    if artifact.paper or artifact.first:
        return f'<section id="{artifact.name}">{head}{whole}</section>'
    folded = f"<details><summary>{head}</summary>{whole}</details>"
    return f'<section id="{artifact.name}">{folded}</section>'


def _table(table: Table, printed: Printed) -> str:
    ours, frame = _folded(printed.blocks), printed.frame
    body = []
    if table.compare is not None:
        compared = to_html(table.compare(frame))
        body.append(
            f'<div class="beside"><div><p class="small">Ours</p>{ours}</div>'
            f'<div><p class="small">The paper\'s, {escape(table.compared)}</p>{compared}</div>'
            "</div>"
        )
    else:
        body.append(ours)
    if table.behind is not None:
        body.append(
            "<details><summary>Behind each cell: 95% binomial interval; trials to choose among "
            "(+ diverged†); training radius, learning rate, batch size and scaling "
            "chosen</summary>"
            f"{_folded(table.behind(frame))}</details>"
        )
    body.append(f'<p class="small">Files: <code>{table.name}.csv, .tex, .md</code></p>')
    return _section(table, "".join(body))


def _folded(blocks: Sequence[Block]) -> str:
    if len(blocks) <= MOST_OPEN:
        return to_html(blocks)
    by_title: dict[str, list[Block]] = {}
    for block in blocks:
        by_title.setdefault(block.title, []).append(block)
    return "".join(
        f'<details data-title="{escape(title)}"><summary>{escape(title)}</summary>'
        f"{to_html(group)}</details>"
        for title, group in by_title.items()
    )


def _figure(figure: Figure, pages: int) -> str:
    first, *rest = (_picture(figure, page) for page in range(1, pages + 1))
    more = f"<details><summary>{pages - 1} more pages</summary>{''.join(rest)}</details>"
    files = f'<p class="small">Files: <code>{figure.name}.pdf, .png, .csv</code></p>'
    return _section(figure, first + (more if rest else "") + files)


def _picture(figure: Figure, page: int) -> str:
    """Return one page of a figure, in the form for narrow screens where it has one."""
    alt = escape(figure.title if page == 1 else f"{figure.title}, page {page}")
    name = figure.picture(page)
    picture = f'<img alt="{alt}" src="{name}.png" loading="lazy">'
    if not figure.narrow or page > 1:
        return f'<div class="wide" tabindex="0" role="group" aria-label="{alt}">{picture}</div>'
    source = f'<source media="(max-width: 40rem)" srcset="{name}-narrow.png">'
    return f"<picture>{source}{picture}</picture>"
