"""What every registered table and figure promises."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from analysis.artifact import Figure, Table, figures, tables
from analysis.build import Built, write_table
from analysis.figure_files import draw_figure
from tests.analysis.made_records import records_of, rows_of

# The small made-up experiment has MNIST alone of the image sets.
ABSENT = {"table3", "table5", "table7", "table9", "table10", "table11"}


PRESENT = [name for name in tables() if name not in ABSENT]


def files_of(name: str, out: Path) -> set[str]:
    return {path.suffix for path in out.glob(f"{name}.*")}


def test_tables_without_records_leave_no_file(built: Built) -> None:
    assert set(built.empty) == ABSENT
    assert not any(files_of(name, built.out) for name in ABSENT)


@pytest.mark.parametrize("name", PRESENT)
def test_table_is_written_in_three_forms(name: str, built: Built) -> None:
    assert files_of(name, built.out) == {".csv", ".md", ".tex"}
    printed = built.tables[name][1]
    assert printed is not None
    assert len(pd.read_csv(built.out / f"{name}.csv")) == len(printed.frame)
    latex = (built.out / f"{name}.tex").read_text()
    assert latex.isascii()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\bottomrule") >= 1


@pytest.mark.parametrize("name", PRESENT)
def test_table_blocks_are_rectangular(name: str, built: Built) -> None:
    table, printed = built.tables[name]
    assert printed is not None
    assert printed.frame.columns.is_unique
    for layout in (table.layout, table.compare, table.behind):
        for block in layout(printed.frame) if layout else ():
            assert block.rows
            assert {len(row.cells) for row in block.rows} == {len(block.columns)}


@pytest.mark.parametrize("name", [*figures()])
def test_figure_is_written_in_two_forms_with_its_data(name: str, built: Built) -> None:
    assert files_of(name, built.out) == {".csv", ".pdf", ".png"}
    assert not pd.read_csv(built.out / f"{name}.csv").empty


def fonts_in(pdf: Path) -> set[bytes]:
    """Return the subtypes of the fonts that a PDF of matplotlib's declares."""
    content = pdf.read_bytes()
    assert b"/ObjStm" not in content  # else fonts may stand in compressed objects
    objects = re.findall(rb"<<[^<>]*/Type /Font\b[^<>]*", content)
    return {found for o in objects for found in re.findall(rb"/Subtype /(\w+)", o)}


@pytest.mark.parametrize("name", [*figures()])
def test_pdf_has_no_font_that_journals_refuse(name: str, built: Built) -> None:
    pdf = built.out / f"{name}.pdf"
    assert fonts_in(pdf)
    assert fonts_in(pdf) <= {b"Type0", b"CIDFontType2", b"TrueType"}
    assert b"Type3" not in pdf.read_bytes()


def test_figure_saved_by_hand_has_no_such_font_either(built: Built, tmp_path: Path) -> None:
    frame = pd.read_csv(built.out / "figure2.csv")
    figures()["figure2"].draw(frame).savefig(tmp_path / "a.pdf")
    assert fonts_in(tmp_path / "a.pdf")
    assert b"Type3" not in (tmp_path / "a.pdf").read_bytes()


ARTIFACTS = [*tables().items(), *figures().items()]


@pytest.mark.parametrize("artifact", [pytest.param(a, id=name) for name, a in ARTIFACTS])
def test_artifact_of_one_lonely_trial_is_built_or_empty(
    artifact: Table | Figure, tmp_path: Path
) -> None:
    records = records_of(rows_of("a", 0.9, 0.8), rows_of("b", None, None, status="diverged"))
    if isinstance(artifact, Table):
        there = write_table(artifact, records, tmp_path) is not None
    elif there := not (frame := artifact.build(records)).empty:
        draw_figure(artifact.name, frame, tmp_path)
    assert bool(files_of(artifact.name, tmp_path)) == there


def test_the_papers_twelve_tables_and_four_figures_are_registered() -> None:
    assert {t.name for t in tables().values() if t.paper} == {f"table{n}" for n in range(1, 13)}
    assert {f.name for f in figures().values() if f.paper} == {f"figure{n}" for n in range(1, 5)}


@pytest.mark.parametrize("name", [f"table{n}" for n in (4, 8, 12)])
def test_tables_beside_the_papers_show_its_numbers(name: str, built: Built) -> None:
    printed = built.tables[name][1]
    assert printed is not None
    shown = printed.frame.dropna(subset="paper_percent")
    assert "nominal" in set(shown["defense"])
    assert (shown["difference"] - (shown["percent"] - shown["paper_percent"])).abs().max() < 1e-9
