"""What a sweep says at its end: commands that work as they stand."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from sweep.config.schema import Paths, Tracking
from sweep.driver.plan import make_plan
from sweep.driver.report import where
from sweep.tracking.tracker import sync_command
from tests.sweep.helpers import config


def command(lines: list[str], head: str) -> list[str]:
    (line,) = (line for line in lines if line.startswith(head))
    return shlex.split(line.removeprefix(head))


def test_commands_name_folders_and_databases_that_are_not_the_usual_ones(tmp_path: Path) -> None:
    results = str(tmp_path / "my results")
    tracking = Tracking(enabled=True, uri=f"sqlite:///{tmp_path / 'my runs.db'}")
    small = replace(config(), paths=Paths(results), tracking=tracking)
    lines = where(make_plan([small]))
    assert command(lines, "tables:")[-2:] == ["experiment=small", f"results={results}"]
    assert command(lines, "runs:")[-1] == f"database={tmp_path / 'my runs.db'}"


def test_commands_leave_out_what_is_usual() -> None:
    small = replace(config(), tracking=Tracking(enabled=True))
    lines = where(make_plan([small]))
    assert command(lines, "tables:")[-1] == "experiment=small"
    assert command(lines, "runs:") == ["robust-sweep", "ui"]


def test_sync_names_the_folder_and_the_store(tmp_path: Path) -> None:
    usual = sync_command(Path("results").absolute(), "sqlite:///mlflow.db")
    assert usual == "python -m sweep.tracking sync"
    other = shlex.split(sync_command(tmp_path / "a b", "sqlite:///x.db"))
    assert other[4:] == [f"results={tmp_path / 'a b'}", "uri=sqlite:///x.db"]
    assert "geheim" not in sync_command(tmp_path, "postgresql://me:geheim@host/db")
