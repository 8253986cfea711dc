from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from analysis.load import load
from analysis.locate import locate
from robust_sweep import run
from sweep.pack import run as worker
from sweep.pack.run import Job, Summary
from sweep.results import store
from tests.sweep import chaos

SMALL = [
    "+experiment=quickstart",
    "debug=true",
    "grid.network=mlp-1x8",
    "grid.defense=[nominal,arub-linf]",
]


@pytest.fixture
def argv(tmp_path: Path) -> list[str]:
    return [*SMALL, f"paths.results={tmp_path / 'results'}", "tracking.enabled=false"]


@pytest.fixture
def folder(tmp_path: Path) -> store.Folder:
    return store.Folder(tmp_path / "results", "quickstart_debug")


def test_same_command_again_trains_nothing_and_says_so(
    argv: list[str], folder: store.Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(argv) == 0
    assert "train 6 networks in 2 packs; 0 of 6 complete" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in folder.record_files()}
    assert run.main(argv) == 0
    assert "all 6 trials are complete; nothing to train" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in folder.record_files()} == before


def test_grown_grid_trains_only_what_is_new(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run.main([*argv, "grid.defense=[nominal]"])
    capsys.readouterr()
    assert run.main(argv) == 0
    assert "train 4 networks in 1 pack; 2 of 6 complete" in capsys.readouterr().out


def test_trial_of_another_experiment_is_not_trained_again(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run.main([*argv, "name=first"])
    capsys.readouterr()
    assert run.main([*argv, "name=second"]) == 0
    assert "second_debug: all 6 trials are complete" in capsys.readouterr().out


def test_manifest_lists_what_was_asked_for(argv: list[str], folder: store.Folder) -> None:
    run.main(argv)
    manifest = json.loads(folder.manifest.read_text())
    assert manifest["num_trials"] == 6
    assert set(manifest["trial_ids"]) == set(store.finished(folder.root))
    assert manifest["config"]["grid"]["network"] == ["mlp-1x8"]
    assert manifest["overrides"] == argv
    assert manifest["pixel_scales"] == {}


def test_smaller_grid_under_the_same_name_shrinks_nothing(
    argv: list[str], folder: store.Folder
) -> None:
    run.main(argv)
    assert run.main([*argv, "grid.defense=[nominal]"]) == 0
    records = load(locate(["quickstart_debug"], "", folder.root))
    assert records.trials.height == 6


def test_failed_trials_make_the_exit_code_and_are_retried(
    argv: list[str],
    folder: store.Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(job: Job, on_step: object) -> None:
        raise RuntimeError("made up")

    with monkeypatch.context() as patched:
        patched.setattr(worker, "_measure", broken)
        assert run.main(argv) == 1
    printed = capsys.readouterr().out
    assert "RuntimeError: made up" in printed
    assert "tracebacks: " in printed
    found = [status for path in folder.record_files() for status in store.statuses(path).values()]
    assert Counter(found) == {"failed": 6}
    assert run.main(argv) == 0
    found = [status for path in folder.record_files() for status in store.statuses(path).values()]
    assert Counter(found) == {"complete": 6}


def test_full_disk_stops_the_sweep_with_what_to_do(
    argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_pack", no_room)
    assert run.main(argv) == 2
    error = capsys.readouterr().err
    assert "No space left" in error
    assert "run the same command again" in error


def test_results_folder_that_is_a_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert run.main([*SMALL, f"paths.results={blocked}", "tracking.enabled=false"]) == 2
    assert f"paths.results={blocked}: cannot be written" in capsys.readouterr().err


def test_dry_run_prints_counts_and_writes_nothing(
    argv: list[str], folder: store.Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main([*argv, "dry_run=true"]) == 0
    printed = capsys.readouterr().out
    assert "train 6 networks in 2 packs; 0 of 6 complete" in printed
    assert "nothing was trained" in printed
    assert not folder.path.exists()


def test_mistake_exits_with_one_line_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["+experiment=quickstart", "grid.dataset=nope"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: grid.dataset")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_flag_that_hydra_does_not_show_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--multirun", "+experiment=quickstart"]) == 2
    assert "--multirun" in capsys.readouterr().err


@pytest.mark.timeout(600)
def test_killed_driver_and_worker_leave_an_undisturbed_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The short form of the chaos test: a driver killed, a worker killed, then completed."""
    results = tmp_path / "killed"
    argv = chaos.arguments(results, "training.steps=60", "grid.seed=[0,1]")
    first = chaos.start(argv)
    chaos.wait_for(lambda: bool(chaos.recorded(results)))
    chaos.kill(first.pid)
    first.communicate()
    second = chaos.start(argv)
    chaos.wait_for(lambda: chaos.victim(second.pid, "worker") is not None or second.poll() == 0)
    pid = chaos.victim(second.pid, "worker")
    if pid is not None:
        chaos.kill(pid)
    output, _ = second.communicate(timeout=240)
    assert second.returncode == 0, output

    undisturbed = tmp_path / "undisturbed"
    quiet = [*chaos.arguments(undisturbed, "training.steps=60", "grid.seed=[0,1]")]
    run_here(quiet)
    assert chaos.recorded(results) == chaos.recorded(undisturbed)
    assert set(chaos.recorded(results).values()) == {1}
    trials = {str(row[0]) for row in chaos.recorded(results)}
    assert chaos.in_mlflow(results) == Counter(trials)


def run_here(argv: list[str]) -> None:
    """Run every pack of a sweep in this process, without Ray."""
    from sweep.config import compose
    from sweep.driver import driver

    parts = compose.compose([*argv, "tracking.enabled=false"])
    plan = driver.make_plan(parts)
    for task in driver.plan_tasks(plan, "test")[0]:
        summary: Summary = worker.run_pack(task.job)
        assert summary.failed == 0
