"""The table that a sweep prints at its end."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis import paper
from analysis.load import from_frame
from analysis.terminal import table_text
from tests.analysis.made_records import paper_records


def test_table_shows_ours_and_the_papers() -> None:
    records: pd.DataFrame = paper_records(8)
    text = table_text("table8", from_frame(records))
    theirs = paper.accuracies(8)
    rub = theirs[(theirs["defense"] == "rub") & (theirs["radius_printed"] == "2.8")]
    assert f"{rub['percent'].item():.2f}" in text
    assert text.count("| RUB |") >= 1


def test_unknown_table_is_named() -> None:
    with pytest.raises(ValueError, match="table99"):
        table_text("table99", from_frame(paper_records(8)))
