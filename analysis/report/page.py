"""Put the page together: the answer, what to choose from, the paper, the rest, provenance."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from pathlib import Path

from analysis import health
from analysis.answer import BEHIND, BEHIND_NOTE, sentence
from analysis.artifact import Figure, Table
from analysis.build import Built
from analysis.commands import commands
from analysis.posthoc import FEWEST
from analysis.records import Provenance, Records
from analysis.render import to_html
from analysis.report.explorer import explorer
from analysis.report.provenance import provenance
from analysis.report.script import policy, scripts
from analysis.report.sections import Section, sections
from analysis.summary import notes, outline, ranking, remarks
from analysis.tables.answer import TABLE as ANSWER

FILE = "report.html"


def render(built: Built, records: Records) -> str:
    """Return the whole page, its pictures named and not yet embedded."""
    title = f"Robust training: {records.provenance.name}"
    chief = sections(built, lambda a: a.first and a.name != ANSWER.name)
    papers = sections(built, lambda a: a.paper)
    others = sections(built, lambda a: not a.paper and not a.first)
    body = [
        f"<header><h1>{escape(title)}</h1>{_overview(records)}</header>",
        _navigation(chief, papers, others),
        "<main>",
        f'<section id="answer"><h2>{escape(ANSWER.title)}</h2>{_answer(built, records)}</section>',
        f'<section id="choose"><h2>Choose and compare</h2>{explorer(records)}</section>',
        *(section.html for section in chief),
        '<h2 id="paper">The paper\'s tables and figures</h2>',
        _agreements(built),
        _missing(built, records.provenance),
        *(section.html for section in papers),
        "<h2>Beyond the paper</h2>",
        *(section.html for section in others),
        "</main>",
        provenance(records),
    ]
    return _document(title, "\n".join(body))


def embed(page: str, out: Path) -> str:
    """Return the page with the pictures in it, once they are drawn."""

    def data(match: re.Match[str]) -> str:
        picture = b64encode((out / match[2]).read_bytes()).decode()
        return f'{match[1]}="data:image/png;base64,{picture}"'

    return re.sub(r'\b(src|srcset)="([^":]+\.png)"', data, page)


def _document(title: str, body: str) -> str:
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style></head>\n"
        f"<body>\n{body}\n{scripts()}\n</body></html>\n"
    )


def _overview(records: Records) -> str:
    """Return what the records are, and folded what to know before believing a number."""
    marks = "".join(f'<p class="note"><strong>{escape(m)}</strong></p>' for m in records.marks)
    known = [escape(_sentence(note)) for note in notes(records)]
    state = health.health(records)
    if state.flagged:  # told in full, and not as the terminal does
        known[-1] = _flags(state)
    listed = "".join(f"<li>{note}</li>" for note in known)
    folded = (
        f'<details class="note"><summary>{_counted(len(known), "thing")} to know before believing '
        f"a number{_flagged(state)}</summary><ul>{listed}</ul></details>"
        if known
        else ""
    )
    return f"<p>{escape(outline(records).splitlines()[0])}.</p>{marks}{folded}"


def _flagged(state: health.Health) -> str:
    if not state.flagged:
        return ""
    return f": {state.flagged} of {state.total} trials carry a health flag"


def _flags(state: health.Health) -> str:
    """Return a table of the flags: how many, what they mean, which conclusions suffer."""
    heads = ("flag", f"trials of {state.total}", "what it means", "what suffers")
    table = _wrapped(heads, health.explained(state), wide=2)
    return f"{state.flagged} of {state.total} trials carry a health flag.{table}"


def _answer(built: Built, records: Records) -> str:
    """Return the sentence, the table, what it stands on and what makes it doubtful."""
    _, printed = built.tables.get(ANSWER.name, (ANSWER, None))
    if printed is None:
        return "<p>No two defenses have results on a common data set.</p>"
    blocks = "".join(to_html([block], "h3") for block in printed.blocks)
    table = ranking(records)
    most = int(table["total"].max())
    small = (
        f'<p class="note">{_counted(most, "data set")}: with fewer than {FEWEST} no test can tell '
        "defenses apart, and the order may be chance.</p>"
        if most < FEWEST
        else ""
    )
    doubts = "".join(f"<li>{escape(text)}</li>" for text in health.suffering(printed.frame))
    doubtful = (
        "<details><summary>Doubtful, as most networks of the best are flagged</summary>"
        f'<ul class="small">{doubts}</ul></details>'
    )
    more = "<br>".join(escape(line) for line in remarks(table))
    behind = f'<p class="small">{escape(BEHIND_NOTE)}</p>' if BEHIND in blocks else ""
    return (
        f'<p class="lead">{escape(sentence(printed.frame))}</p>{small}'
        f'<div class="measures">{blocks}</div>{behind}'
        f"{doubtful if doubts else ''}"
        f'<details><summary>How to read this</summary><p class="caption">{escape(ANSWER.caption)}'
        f'</p><p class="small">{more}</p><p class="small">{_CHOICE}</p></details>'
        '<p>The same for each radius alone, such as L∞ at ρ = 0.1: <a href="#radii">'
        "Which defense is best at each radius?</a></p>"
    )


_CHOICE = (
    "Hyperparameters were chosen on validation data alone, per data set, defense, attack and "
    "radius: highest validation accuracy. Where several trials tie, the accuracy shown is the "
    "mean of their test accuracies, and the settings are those of the one with the smallest "
    "training radius, then learning rate, then trial id. Defenses are averaged over the seeds and "
    "splits that all of them have. A dash means no record. Best of a column in bold, cells within "
    "0.5 points of it shaded."
)


def _sentence(note: str) -> str:
    return note[:1].upper() + note[1:] + "."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _navigation(*groups: Sequence[Section]) -> str:
    links = [f'<a href="#{s.name}">{escape(s.short)}</a>' for group in groups for s in group]
    return (
        '<nav aria-label="Contents" tabindex="0"><a href="#answer">Answer</a>'
        '<a href="#choose">Choose</a><a href="#paper">Paper</a>'
        f'{"".join(links)}<a href="#origin">Origin</a></nav>'
    )


def _commands(artifact: Table | Figure, origin: Provenance) -> list[str]:
    if artifact.experiment:
        return [f"python {artifact.script} +experiment={artifact.experiment}"]
    return commands(origin.name, origin.manifests, artifact.script)


def _agreements(built: Built) -> str:
    """Return one line per table and figure of the paper: how near ours is."""
    heads = ("winners that agree", "mean difference", "rank correlation", "beyond noise")
    rows = [
        (title, a.winners, a.difference, a.correlation, a.beyond, a.remark)
        for title, a in built.agreements.items()
    ]
    if not rows:
        return ""
    return (
        '<p class="caption">How near ours is to the paper. Winners: columns whose best defense is '
        "the paper's; difference: mean absolute, of cells; rank correlation: Spearman's, of the "
        "defenses in a column, mean over columns; beyond noise: cells that differ by more than "
        "sampling noise (95%), shaded in the tables. Seeds, library and details of training also "
        f"differ.</p>{_wrapped(('of the paper', *heads, 'remark'), rows, wide=1)}"
    )


def _wrapped(heads: Sequence[str], rows: Sequence[Sequence[object]], wide: int) -> str:
    """Return a table whose last columns, `wide` of them, are sentences that wrap."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = []
    for first, *others in rows:
        cells = [f'<th scope="row">{escape(str(first))}</th>']
        for left, value in zip(range(len(others), 0, -1), others, strict=True):
            kind = ' class="text"' if left <= wide else ""
            cells.append(f"<td{kind}>{escape(str(value))}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody>'
        "</table></div>"
    )


def _missing(built: Built, origin: Provenance) -> str:
    """Say what the records had nothing for, and the commands that would change that."""
    artifacts: list[Table | Figure] = [table for table, _ in built.tables.values()]
    artifacts += [figure for figure, _ in built.figures.values()]
    by_command: dict[str, list[str]] = {}
    for artifact in artifacts:
        if artifact.name in built.empty:
            for command in _commands(artifact, origin):
                head = artifact.title.split(":")[0]
                by_command.setdefault(command, []).append(head)
    lines = "".join(
        f"<li>{escape(', '.join(names))}: <code>{escape(command)}</code></li>"
        for command, names in by_command.items()
    )
    if not lines:
        return ""
    return f"<details><summary>No records for some of them</summary><ul>{lines}</ul></details>"
