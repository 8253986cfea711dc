"""What every registered table and figure promises."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.artifact import Figure, Table, figures, tables
from analysis.build import write_table
from analysis.drawing import draw_figure
from analysis.records import Records
from tests.analysis.made_records import records_of, rows_of

# The small made-up experiment has MNIST alone of the image sets.
ABSENT = {"table3", "table5", "table7", "table9", "table10", "table11"}


@pytest.mark.parametrize("table", [pytest.param(t, id=name) for name, t in tables().items()])
def test_table_is_written_in_three_forms(table: Table, made_up: Records, tmp_path: Path) -> None:
    printed = write_table(table, made_up, tmp_path)
    assert (printed is None) == (table.name in ABSENT)
    written = {p.name for p in tmp_path.iterdir()}
    expected = set() if table.name in ABSENT else {"csv", "md", "tex"}
    assert written == {f"{table.name}.{suffix}" for suffix in expected}


PRESENT = [pytest.param(t, id=name) for name, t in tables().items() if name not in ABSENT]


@pytest.mark.parametrize("table", PRESENT)
def test_table_blocks_are_rectangular(table: Table, made_up: Records) -> None:
    frame = table.build(made_up)
    assert frame.columns.is_unique
    for layout in (table.layout, table.compare, table.behind):
        for block in layout(frame) if layout else ():
            assert block.rows
            assert {len(row.cells) for row in block.rows} == {len(block.columns)}


@pytest.mark.parametrize("figure", [pytest.param(f, id=name) for name, f in figures().items()])
def test_figure_is_written_in_two_forms_with_its_data(
    figure: Figure, made_up: Records, tmp_path: Path
) -> None:
    draw_figure(figure.name, figure.build(made_up), tmp_path)
    assert {p.suffix for p in tmp_path.iterdir()} == {".csv", ".pdf", ".png"}
    assert not pd.read_csv(tmp_path / f"{figure.name}.csv").empty


ARTIFACTS = [*tables().items(), *figures().items()]


@pytest.mark.parametrize("artifact", [pytest.param(a, id=name) for name, a in ARTIFACTS])
def test_artifact_of_one_lonely_trial_is_built_or_empty(
    artifact: Table | Figure, tmp_path: Path
) -> None:
    records = records_of(rows_of("a", 0.9, 0.8), rows_of("b", None, None, status="diverged"))
    if isinstance(artifact, Table):
        write_table(artifact, records, tmp_path)
    elif not (frame := artifact.build(records)).empty:
        draw_figure(artifact.name, frame, tmp_path)


def test_the_papers_twelve_tables_and_four_figures_are_registered() -> None:
    assert {t.name for t in tables().values() if t.paper} == {f"table{n}" for n in range(1, 13)}
    assert {f.name for f in figures().values() if f.paper} == {f"figure{n}" for n in range(1, 5)}


@pytest.mark.parametrize("name", [f"table{n}" for n in (4, 8, 12)])
def test_tables_beside_the_papers_show_its_numbers(name: str, made_up: Records) -> None:
    frame = tables()[name].build(made_up)
    at_zero = frame[(frame["attack_grid_radius"] == 0) & (frame["defense"] == "nominal")]
    assert at_zero["paper_percent"].notna().any()
    shown = at_zero.dropna(subset="paper_percent")
    assert (shown["difference"] - (shown["percent"] - shown["paper_percent"])).abs().max() < 1e-9
