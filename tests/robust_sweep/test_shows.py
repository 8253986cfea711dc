"""What a sweep shows of its records at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust_sweep import run, shows
from sweep.driver import driver
from sweep.pack.run import run_pack
from sweep.results.store import Folder
from tests.sweep.helpers import config, jobs


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """The records of a small sweep."""
    small = config(tmp_path / "results")
    for job in jobs(small):
        run_pack(job)
    return Folder(tmp_path / "results", "small")


def test_ranking_and_tables_are_allowed_and_nothing_else() -> None:
    shows.check("ranking")
    shows.check("table8")
    with pytest.raises(ValueError, match=r"shows: unknown table 'rankin'.*'ranking'"):
        shows.check("rankin")


def test_ranking_names_its_defenses(folder: Folder) -> None:
    text = shows.text("ranking", folder)
    assert text.startswith("Mean rank across data sets")
    assert "Nominal" in text


def test_table_is_shown_by_its_name(folder: Folder) -> None:
    assert shows.text("health", folder).startswith("Trials behind the tables")


def test_records_that_cannot_be_read_cost_a_line_and_nothing_else(folder: Folder) -> None:
    for path in folder.record_files():
        path.write_bytes(b"no records")
    text = shows.text("ranking", folder)
    assert text.startswith("no ranking: ")
    assert "\n" not in text


@pytest.mark.parametrize("trained", [0, 4])
def test_ranking_is_shown_where_something_was_trained(
    trained: int,
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ending = driver.Ending(folder, trained=trained, failed=0)
    monkeypatch.setattr(driver, "sweep", lambda parts, argv: ending)
    assert run.main(["+experiment=quickstart"]) == 0
    assert ("Mean rank" in capsys.readouterr().out) == (trained > 0)
