"""The commands that complete records: those that made them, or none that does not exist."""

from __future__ import annotations

import pytest

from analysis.artifact import figures, tables
from analysis.commands import CONF, commands

OVERRIDES = ["+experiment=mnist_spot", "name=mine"]


def test_command_is_the_one_that_was_given() -> None:
    manifests = [{"experiment": "mine", "overrides": OVERRIDES}]
    assert commands("mine", manifests) == ["python sweep/run.py +experiment=mnist_spot name=mine"]
    strong = commands("mine", manifests, "sweep/strong.py")
    assert strong == ["python sweep/strong.py +experiment=mnist_spot name=mine"]


def test_experiments_without_manifest_are_known_by_their_files() -> None:
    known = [f"python sweep/run.py +experiment={name}" for name in ("quickstart", "uci_full")]
    assert commands("quickstart+uci_full") == known


@pytest.mark.parametrize("overrides", [[], None], ids=["empty", "absent"])
def test_name_of_no_experiment_is_not_called_one(overrides: list[str] | None) -> None:
    for manifests in ((), [{"experiment": "mine", "overrides": overrides}]):
        assert commands("mine", manifests) == ["python sweep/run.py +experiment=... name=mine"]


@pytest.mark.parametrize("name", [*tables(), *figures()])
def test_experiment_that_an_artifact_asks_for_exists(name: str) -> None:
    asked = (tables() | figures())[name].experiment.split(" ")[0]  # arguments may follow
    assert not asked or (CONF / f"{asked}.yaml").is_file()
