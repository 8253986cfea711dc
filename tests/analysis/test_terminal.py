"""The table that a sweep prints at its end."""

from __future__ import annotations

import pytest

from analysis import paper
from analysis.terminal import table_text
from tests.analysis.test_paper import as_records


def test_table_shows_ours_and_the_papers() -> None:
    ours, theirs = table_text("table8", as_records(8)).split("The paper's numbers, ")
    cell = paper.accuracies(8).query("defense == 'rub' and radius_printed == '2.8'")
    value = f"{cell['percent'].item():.2f}"
    assert "Table 8" in ours
    for text in (ours, theirs):
        (line,) = (line for line in text.splitlines() if line.startswith("| RUB |"))
        assert value in line


def test_unknown_table_is_named() -> None:
    with pytest.raises(ValueError, match="table99"):
        table_text("table99", as_records(8))
