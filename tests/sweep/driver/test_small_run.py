"""A small run under the name of a larger one hides and deletes nothing of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis import load, locate
from analysis.commands import commands
from sweep.config.schema import SweepConfig
from sweep.driver import driver
from sweep.results import store
from sweep.results.__main__ import main
from tests.sweep.helpers import config

LARGE, SMALL = ["+experiment=large"], ["+experiment=large", "grid.learning_rate=[1e-3]"]


@pytest.fixture
def large(tmp_path: Path) -> SweepConfig:
    """A sweep that has run."""
    whole = config(tmp_path / "results", debug=True)
    driver.sweep([whole], LARGE)
    return whole


def shrunk(large: SweepConfig, **changes: Any) -> SweepConfig:
    """One rate, one attack and one radius of it."""
    return replace(
        large,
        grid=replace(large.grid, learning_rate=[1e-3]),
        evaluation=replace(large.evaluation, attacks=["fgsm-linf"], attack_grid_radii=[0.1]),
        **changes,
    )


def contents(large: SweepConfig) -> dict[Path, bytes]:
    folder = Path(large.paths.results) / "small"
    kinds = ("records", "curves", "networks")
    return {path: path.read_bytes() for kind in kinds for path in (folder / kind).glob("*")}


def manifest_of(large: SweepConfig) -> dict[str, Any]:
    path = Path(large.paths.results) / "small" / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def analysed(large: SweepConfig) -> tuple[set[str], int]:
    """The trials and the number of test accuracies that tables are made of."""
    records = load.load(locate.locate(["small"], "", Path(large.paths.results)))
    return set(records.trials["trial_id"]), records.test.height


def test_files_manifest_and_tables_keep_what_the_larger_run_left(large: SweepConfig) -> None:
    files, asked, shown = contents(large), manifest_of(large), analysed(large)
    driver.sweep([shrunk(large)], SMALL)
    assert contents(large) == files
    manifest = manifest_of(large)
    assert manifest["trial_ids"] == asked["trial_ids"]
    assert manifest["data_hashes"] == asked["data_hashes"]
    assert commands("small", [manifest]) == [
        "python sweep/run.py +experiment=large",
        "python sweep/run.py +experiment=large 'grid.learning_rate=[1e-3]'",
    ]
    assert analysed(large) == shown
    assert main(["check", f"results={large.paths.results}"]) == 0


def test_other_grid_adds_its_trials_to_those_of_before(large: SweepConfig) -> None:
    asked, (trials, _) = manifest_of(large), analysed(large)
    other = shrunk(large)
    driver.sweep([replace(other, grid=replace(other.grid, learning_rate=[1e-4]))], ["other"])
    manifest = manifest_of(large)
    assert manifest["trial_ids"][: len(asked["trial_ids"])] == asked["trial_ids"]
    assert manifest["num_trials"] == len(asked["trial_ids"]) + 2
    assert trials < analysed(large)[0]


def test_run_that_fails_leaves_what_was_complete(
    large: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(large)
    other = shrunk(large)
    changed = replace(other, grid=replace(other.grid, learning_rate=[1e-4]))

    def fail(*_: object) -> None:
        raise ValueError("no data today")

    monkeypatch.setattr("sweep.pack.run._measure", fail)
    assert driver.sweep([changed], ["other"]).failed == 2
    assert {path: content for path, content in contents(large).items() if path in before} == before


@pytest.mark.parametrize("retrain", ["retrain=all", "retrain=changed"])
def test_commands_that_complete_a_sweep_make_nothing_again(
    retrain: str, large: SweepConfig
) -> None:
    driver.sweep([large], [*LARGE, retrain])
    assert manifest_of(large)["overrides"] == LARGE
    assert [command["overrides"] for command in manifest_of(large)["commands"]] == [LARGE]


def rows_of(large: SweepConfig) -> Sequence[tuple[str, str]]:
    folder = store.Folder(Path(large.paths.results), "small")
    found = pl.concat([pl.read_parquet(path) for path in folder.record_files()])
    return sorted(found.select("trial_id", "evaluation_id").iter_rows())


def test_small_grid_made_again_leaves_the_rest(large: SweepConfig) -> None:
    before = rows_of(large)
    driver.sweep([replace(large, retrain="all", grid=shrunk(large).grid)], SMALL)
    assert rows_of(large) == before
    assert main(["check", f"results={large.paths.results}"]) == 0
