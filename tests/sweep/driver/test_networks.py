"""`robust-sweep networks`: recorded trials are listed, and one is trained again into a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robust import networks
from robust_sweep import cli, run
from sweep.results import store

NAME = "quickstart_debug"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two defenses on iris."""
    root = tmp_path_factory.mktemp("results")
    asked = ("debug=true", "tracking.enabled=false", "grid.dataset=[iris]", "grid.seed=[3]")
    argv = ["+experiment=quickstart", *asked, f"paths.results={root}"]
    assert run.main([*argv, "grid.defense=[nominal,rub]", "grid.learning_rate=[1e-2]"]) == 0
    return root


def called(*argv: str) -> int:
    return cli.main(["networks", *argv])


def recorded(results: Path) -> set[str]:
    folder = store.Folder(results, NAME)
    return {trial for path in folder.record_files() for trial in store.statuses(path)}


def test_every_trial_is_listed_once(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert called("list", f"results={results}") == 0
    header, *lines, total = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["trial_id", "status", "dataset"]
    assert {line.split()[0] for line in lines} == recorded(results)
    assert total == f"{len(lines)} trials" == f"{len(recorded(results))} trials"


def test_list_is_cut_to_what_is_asked_for(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("list", f"results={results}", f"experiment={NAME}", "defense=rub") == 0
    _, *lines, _ = capsys.readouterr().out.splitlines()
    assert lines
    assert {line.split()[4] for line in lines} == {"rub"}
    assert called("list", f"results={results}", "dataset=wine") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 trials"


def test_exported_network_is_the_recorded_one(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, trial in enumerate(sorted(recorded(results))):
        path = tmp_path / f"{number}.safetensors"
        assert called("export", trial, f"results={results}", f"out={path}") == 0
        assert "its clean accuracy is the recorded one" in capsys.readouterr().out
        net = networks.load(path)
        assert (net.num_networks, net.num_features, net.num_classes) == (1, 4, 3)
        kept = networks.read_metadata(path)
        assert (kept["trial_id"], kept["dataset"]) == (trial, "iris")
    alone = [networks.load(path).weights[0] for path in sorted(tmp_path.iterdir())]
    assert not all(bool((alone[0] == other).all()) for other in alone[1:])


MISTAKES = {
    "no command": ((), "command '' is unknown; usage: robust-sweep networks"),
    "no trial": (("export",), "export takes one trial"),
    "two trials": (("export", "a", "b"), "export takes one trial"),
    "trial to list": (("list", "a"), "list takes no trial"),
    "unknown trial": (("export", "0" * 16), "has no record"),
    "unknown key": (("list", "norm=l1"), "unknown argument 'norm=l1'"),
    "unknown experiment": (("list", "experiment=nope"), f"known: {NAME}"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_one_line(
    mistake: str, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv, message = MISTAKES[mistake]
    assert called(*argv, *([f"results={results}"] if argv else [])) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_folder_without_records_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called("list", f"results={tmp_path}") == 2
    assert "known: none" in capsys.readouterr().err


def test_trial_that_no_command_asks_for_is_one_line(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store.Folder(results, NAME).manifest
    text = path.read_text()
    try:
        path.write_text(json.dumps({**json.loads(text), "commands": []}))
        assert called("export", min(recorded(results)), f"results={results}") == 2
    finally:
        path.write_text(text)
    assert "no command in" in capsys.readouterr().err
