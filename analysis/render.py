"""Blocks of cells as Markdown, LaTeX (booktabs) and HTML; frames as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row

_TEX_SPECIAL = {"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "±": r"$\pm$", "–": "--"}
_TEX_SYMBOLS = {
    "ρ": r"$\rho$",
    "√": r"$\surd$",
    "∞": r"$\infty$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "→": r"$\to$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
}
PREAMBLE = r"""% \usepackage{booktabs,colortbl,xcolor}
\providecolor{nearbest}{RGB}{204,229,246}
"""


def to_csv(frame: pd.DataFrame) -> str:
    """Return the tidy frame as CSV, numbers unrounded."""
    return pl.from_pandas(frame).write_csv()


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return the blocks as Markdown tables; best in bold, near the best in italics."""
    parts = []
    for title, group in groupby(blocks, key=lambda block: block.title):
        parts += [f"### {title}", ""] if title else []
        for block in group:
            head = [block.corner[0], *block.columns]
            parts.append(_markdown_line(head))
            parts.append("|" + "---|" + "---:|" * len(block.columns))
            parts += [_markdown_line([r.label, *map(_markdown_cell, r.cells)]) for r in block.rows]
            parts.append("")
    return "\n".join(parts)


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _markdown_cell(cell: Cell) -> str:
    if cell.bold:
        return f"**{cell.text}**"
    return f"*{cell.text}*" if cell.marked else cell.text


def tex(text: str) -> str:
    """Return plain text with TeX's special characters escaped."""
    return "".join(_TEX_SPECIAL.get(c, _TEX_SYMBOLS.get(c, c)) for c in text)


def to_latex(blocks: Sequence[Block], caption: str, label: str) -> str:
    """Return the blocks as booktabs tables, one float per title."""
    floats = []
    for index, (title, group) in enumerate(groupby(blocks, key=lambda block: block.title)):
        suffix = f"-{index + 1}" if index else ""
        head = f"{title}: {caption}" if title else caption
        floats.append(_latex_float(list(group), head, f"tab:{label}{suffix}"))
    return PREAMBLE + "\n".join(floats)


def _latex_float(blocks: Sequence[Block], caption: str, label: str) -> str:
    width = max(len(block.columns) for block in blocks)
    lines = [r"\begin{table}[htbp]", r"\centering\small", rf"\begin{{tabular}}{{l{'r' * width}}}"]
    for index, block in enumerate(blocks):
        lines.append(r"\toprule" if index == 0 else r"\midrule")
        padding = [""] * (width - len(block.columns))
        lines.append(_latex_line([block.corner[1], *map(tex, block.columns), *padding]))
        lines.append(r"\midrule")
        lines += [_latex_row(row, padding) for row in block.rows]
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{tex(caption)}}}"]
    return "\n".join([*lines, rf"\label{{{label}}}", r"\end{table}", ""])


def _latex_row(row: Row, padding: Sequence[str]) -> str:
    return _latex_line([row.tex_label, *map(_latex_cell, row.cells), *padding])


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = rf"\textbf{{{tex(cell.text)}}}" if cell.bold else tex(cell.text)
    return rf"\cellcolor{{nearbest}}{text}" if cell.marked or cell.bold else text


def to_html(blocks: Sequence[Block]) -> str:
    """Return the blocks as HTML tables, each in a box that scrolls sideways on its own."""
    parts = []
    for title, group in groupby(blocks, key=lambda block: block.title):
        tables = "\n".join(map(_html_table, group))
        heading = f"<h4>{escape(title)}</h4>" if title else ""
        parts.append(f'<div class="block" data-title="{escape(title)}">{heading}{tables}</div>')
    return "\n".join(parts)


def _html_table(block: Block) -> str:
    heads = (block.corner[0], *block.columns)
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(row.label)}</th>{"".join(map(_html_cell, row.cells))}</tr>'
        for row in block.rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _html_cell(cell: Cell) -> str:
    marks = {"best": cell.bold, "near": cell.marked or cell.bold, "beyond": cell.beyond}
    attributes = {
        "class": " ".join(name for name, on in marks.items() if on),
        "data-t": " ".join(cell.trials),
        "data-n": " ".join(f"{number:g}" for number in cell.numbers),
    }
    given = "".join(f' {key}="{escape(text)}"' for key, text in attributes.items() if text)
    return f"<td{given}>{escape(cell.text)}</td>"
