"""Put the page together: summary, the paper's tables and figures, the rest, and provenance."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from analysis.artifact import Block, Cell, Figure, Row, Table
from analysis.build import Built, Printed
from analysis.commands import commands
from analysis.records import Provenance, Records
from analysis.render import to_html
from analysis.report.provenance import provenance
from analysis.summary import (
    HEADS,
    TITLE,
    notes,
    outline,
    ranking,
    ranking_cells,
    remarks,
    text,
)

FILE = "report.html"
# The page may load nothing from anywhere: no script, no font, images only from itself.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


FIRST = "figure2"  # the picture that says most


def render(built: Built, records: Records) -> str:
    """Return the whole page, its pictures named and not yet embedded."""
    title = f"Robust training: {records.provenance.name}"
    papers, others = (_sections(built, paper) for paper in (True, False))
    first = [section for section in papers if section.name == FIRST]
    rest = [section for section in papers if section.name != FIRST]
    body = [
        f"<header><h1>{escape(title)}</h1>{_summary(records)}</header>",
        _navigation(first, rest, others),
        "<main>",
        *(section.html for section in first),
        "<h2>The paper's tables and figures</h2>",
        _missing(built, records.provenance),
        *(section.html for section in rest),
        "<h2>Beyond the paper</h2>",
        *(section.html for section in others),
        "</main>",
        provenance(records),
    ]
    return _document(title, "\n".join(body))


def embed(page: str, out: Path) -> str:
    """Return the page with the pictures in it, once they are drawn."""

    def data(match: re.Match[str]) -> str:
        return f'src="data:image/png;base64,{b64encode((out / match[1]).read_bytes()).decode()}"'

    return re.sub(r'src="([^":]+\.png)"', data, page)


def _document(title: str, body: str) -> str:
    style = (Path(__file__).parent / "style.css").read_text()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n"
        f"<body>\n{body}\n</body></html>\n"
    )


def _summary(records: Records) -> str:
    warnings = "".join(f'<p class="note">{escape(_sentence(n))}</p>' for n in notes(records))
    return (
        f"<p>{escape(outline(records).splitlines()[0])}.</p>{warnings}"
        f"<h3>{escape(TITLE)}</h3>"
        f"{_ranking(records)}"
        "<p>Hyperparameters were chosen on validation data alone, per data set, defense, attack "
        "and radius: highest validation accuracy. Where several trials tie, the accuracy shown is "
        "the mean of their test accuracies, and the settings are those of the one with the "
        "smallest training radius, then learning rate, then trial id. Defenses are averaged over "
        "the seeds and splits that all of them have. A dash means no record. "
        '<span class="small">Best of a column in bold, cells '
        "within 0.5 points of it shaded.</span></p>"
    )


def _ranking(records: Records) -> str:
    table = ranking(records)
    if table.empty:
        return f"<p>{escape(text(table))}.</p>"
    rows = [
        Row(f"{norm} {band}".strip(), "", tuple(map(Cell, texts)))
        for norm, band, *texts in ranking_cells(table)
    ]
    block = Block("", ("radii", ""), HEADS[2:], tuple(rows))
    lines = "<br>".join(escape(line) for line in remarks(table))
    return f'{to_html([block])}<p class="small">{lines}</p>'


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + "."


def _navigation(*groups: Sequence[_Section]) -> str:
    links = [f'<a href="#{s.name}">{escape(_short(s.title))}</a>' for g in groups for s in g]
    return f'<nav aria-label="Contents">{"".join(links)}<a href="#origin">Origin</a></nav>'


def _short(title: str) -> str:
    head = title.split(":")[0]
    return head if head.startswith(("Table", "Figure")) else title


@dataclass(frozen=True)
class _Section:
    name: str
    title: str
    html: str


def _sections(built: Built, paper: bool) -> list[_Section]:
    """Return the paper's artifacts or the others, those that there are, in order."""
    made = [
        _Section(table.name, table.title, _table(table, printed))
        for table, printed in built.tables.values()
        if table.paper == paper and printed is not None
    ]
    made += [
        _Section(figure.name, figure.title, _figure(figure))
        for figure, drawn in built.figures.values()
        if figure.paper == paper and drawn
    ]
    return made


def _commands(artifact: Table | Figure, origin: Provenance) -> list[str]:
    if artifact.experiment:
        return [f"python {artifact.script} +experiment={artifact.experiment}"]
    return commands(origin.name, origin.manifests, artifact.script)


def _missing(built: Built, origin: Provenance) -> str:
    """Say what the records had nothing for, and the commands that would change that."""
    artifacts: list[Table | Figure] = [table for table, _ in built.tables.values()]
    artifacts += [figure for figure, _ in built.figures.values()]
    by_command: dict[str, list[str]] = {}
    for artifact in artifacts:
        if artifact.name in built.empty:
            for command in _commands(artifact, origin):
                by_command.setdefault(command, []).append(_short(artifact.title))
    lines = "".join(
        f"<li>{escape(', '.join(names))}: <code>{escape(command)}</code></li>"
        for command, names in by_command.items()
    )
    return f'<div class="note">No records for<ul>{lines}</ul></div>' if lines else ""


def _section(artifact: Table | Figure, body: str) -> str:
    head = f"<h3>{escape(artifact.title)}</h3>"
    caption = f'<p class="caption">{escape(artifact.caption)}</p>'
    return f'<section id="{artifact.name}">{head}{caption}{body}</section>'


def _table(table: Table, printed: Printed) -> str:
    body, frame = [_folded(printed.blocks)], printed.frame
    if table.compare is not None:
        compared = to_html(table.compare(frame))
        body.append(
            f"<details open><summary>The paper's numbers, {escape(table.compared)}</summary>"
            f"{compared}</details>"
        )
    if table.behind is not None:
        body.append(
            "<details><summary>Behind each cell: 95% binomial interval; trials to choose among "
            "(+ diverged†); training radius, learning rate, batch size and scaling "
            "chosen</summary>"
            f"{_folded(table.behind(frame))}</details>"
        )
    body.append(f'<p class="small">Files: <code>{table.name}.csv, .tex, .md</code></p>')
    return _section(table, "".join(body))


MOST_OPEN = 12  # blocks, beyond which each title folds away on its own


def _folded(blocks: Sequence[Block]) -> str:
    if len(blocks) <= MOST_OPEN:
        return to_html(blocks)
    by_title: dict[str, list[Block]] = {}
    for block in blocks:
        by_title.setdefault(block.title, []).append(block)
    return "".join(
        f"<details><summary>{escape(title)}</summary>{to_html(group)}</details>"
        for title, group in by_title.items()
    )


def _figure(figure: Figure) -> str:
    picture = f'<img alt="{escape(figure.title)}" src="{figure.name}.png">'
    body = f'<div class="wide">{picture}</div>'
    files = f'<p class="small">Files: <code>{figure.name}.pdf, .png, .csv</code></p>'
    return _section(figure, body + files)
