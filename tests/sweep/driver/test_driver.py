"""What goes wrong around a pack must cost neither its records nor the sweep."""

from __future__ import annotations

import errno
import fcntl
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweep import output
from sweep.cluster.tune import _Forward
from sweep.config.schema import SweepConfig
from sweep.driver import driver as execute
from sweep.driver import pack_log
from sweep.driver.driver import Driver, plan_tasks
from sweep.driver.plan import make_plan
from sweep.driver.progress import Progress
from sweep.errors import StorageError
from sweep.pack import checkpoints, records, run
from sweep.pack.outcome import PackOutcome
from sweep.pack.run import Job, record_failure, run_pack
from sweep.results import manifests, store
from sweep.tracking.tracker import Tracker
from tests.sweep.helpers import config, one_job


@pytest.fixture
def small(tmp_path: Path) -> SweepConfig:
    """Two packs of two trials, run in this process."""
    return config(tmp_path / "results", debug=True)


@pytest.fixture
def job(small: SweepConfig) -> Job:
    return one_job(small)


def driver(small: SweepConfig) -> Driver:
    plan = make_plan([small])
    return Driver(plan, plan_tasks(plan, "test")[0])


def rows(job: Job) -> list[dict[str, object]]:
    return list(pq.read_table(run.folder(job).records(job.pack.pack_id)).to_pylist())


def statuses(small: SweepConfig) -> Counter[str]:
    folder = store.Folder(Path(small.paths.results), "small")
    return Counter(
        s for trials in store.scan(folder.record_files()).values() for s in trials.values()
    )


def failing(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_failure_is_never_written_over_finished_records(job: Job) -> None:
    run_pack(job)
    before = rows(job)
    summary = record_failure(job, "Error: made up", "Traceback ...")
    assert rows(job) == before
    assert (summary.complete, summary.failed, summary.error) == (2, 0, None)


def test_failure_is_not_written_over_records_that_are_finished_in_part(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_measure", problem_of_the_second(run._measure))
    run_pack(job)
    before = rows(job)
    summary = record_failure(job, "Error: made up", "Traceback ...")
    assert rows(job) == before
    assert (summary.complete, summary.failed, summary.error) == (1, 1, "Error: made up")


def problem_of_the_second(measure: Callable[..., PackOutcome]) -> Callable[..., PackOutcome]:
    def measured(job: Job, on_step: object) -> PackOutcome:
        outcome = measure(job, on_step)
        first, second = outcome.trials
        unsound = replace(second, assessment=replace(second.assessment, problem="unsound"))
        return replace(outcome, trials=(first, unsound))

    return measured


def test_newer_failure_takes_the_place_of_an_older_one(job: Job) -> None:
    record_failure(job, "Error: first", "Traceback ...")
    record_failure(job, "Error: second", "Traceback ...")
    assert {row["error"] for row in rows(job)} == {"Error: second"}


def test_failure_is_recorded_where_a_damaged_file_lay_which_is_kept(job: Job) -> None:
    path = run.folder(job).records(job.pack.pack_id)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged")
    assert record_failure(job, "Error: made up", "Traceback ...").failed == 2
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"damaged"


def test_failure_is_recorded_where_its_traceback_cannot_be(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.folder(job).path).mkdir(parents=True)
    run.folder(job).logs.write_text("in the way")
    assert record_failure(job, "Error: made up", "Traceback ...").unwritten is None
    assert {row["status"] for row in rows(job)} == {"failed"}
    assert str(run.folder(job).logs) in capsys.readouterr().err


def test_finished_pack_is_not_trained_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run_pack(job)
    before = rows(job)
    monkeypatch.setattr(run, "_measure", failing)
    again = run_pack(job)
    assert rows(job) == before
    assert again.found and not first.found
    for name in ("complete", "diverged", "failed", "device", "trained_together", "error"):
        assert getattr(again, name) == getattr(first, name)
    assert again.train_seconds == pytest.approx(first.train_seconds)


def test_pack_that_failed_in_part_is_trained_again_and_keeps_what_was_finished(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_pack(job)
    finished = [row for row in rows(job) if row["trial_id"] == job.pack.trials[1].trial_id]
    table = pq.read_table(run.folder(job).records(job.pack.pack_id))
    second = job.pack.trials[1].trial_id
    mask = [trial == second for trial in table["trial_id"].to_pylist()]
    store.write_table(run.folder(job).records(job.pack.pack_id), table.filter(mask))
    monkeypatch.setattr(run, "_measure", problem_of_the_second(run._measure))
    run_pack(job)
    assert {row["trial_id"] for row in rows(job)} == {t.trial_id for t in job.pack.trials}
    assert {row["status"] for row in rows(job)} == {"complete"}
    assert [row for row in rows(job) if row["trial_id"] == second] == finished


def test_error_while_records_are_built_is_recorded(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = records.build_records

    def broken(*of: Any) -> pa.Table:
        if of[-1].trials[0].status == "complete":
            raise ValueError("made up")
        return build(*of)

    monkeypatch.setattr(records, "build_records", broken)
    assert run_pack(job).failed == 2
    assert {row["error"] for row in rows(job)} == {"ValueError: made up"}


def test_checkpoint_that_cannot_be_removed_does_not_make_a_pack_unwritten(
    job: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoints, "remove_finished", failing)
    summary = run_pack(job)
    assert (summary.complete, summary.unwritten) == (2, None)
    assert "No space left" in capsys.readouterr().err


AROUND = {
    "log": (pack_log, "append"),
    "progress": (Progress, "finished"),
    "progress at the start": (Progress, "started"),
    "tracker": (Tracker, "add"),
    "tracker at the start": (Tracker, "start"),
    "order": (store, "consolidate"),
    "account": (execute.report, "counts"),
}


@pytest.mark.parametrize("what", AROUND)
def test_whatever_fails_around_packs_costs_no_record_and_is_said_once(
    what: str,
    small: SweepConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "tracker" in what:
        small = replace(small, tracking=replace(small.tracking, enabled=True))
        monkeypatch.setattr(Tracker, "_try_sync", lambda self: None)
    if what == "order":  # the start has its own
        small_driver = driver(small)
        monkeypatch.setattr(store, "consolidate", failing)
        small_driver.run("opening")
        assert small_driver.close().failed == 0
    else:
        monkeypatch.setattr(*AROUND[what], failing)
        assert execute.sweep([small]).failed == 0
    assert statuses(small) == {"complete": 4}
    error = capsys.readouterr().err
    assert error.count("No space left") == 1
    assert error.count("\n") == 1


def test_file_that_another_driver_writes_stays_where_there_are_no_locks(
    small: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    theirs = store.Folder(Path(small.paths.results), "small").records("x")
    theirs = theirs.with_name(f".tmp-1234-{theirs.name}")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("half")
    assert execute.sweep([small]).failed == 0
    assert theirs.read_text() == "half"


def test_log_on_a_full_disk_does_not_stop_training(
    small: SweepConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = store.Folder(Path(small.paths.results), "small").logs
    logs.mkdir(parents=True)
    (logs / "packs.jsonl").symlink_to("/dev/full")
    assert execute.sweep([small]).failed == 0
    assert statuses(small) == {"complete": 4}
    assert capsys.readouterr().err.count("No space left") == 1


def test_failed_trials_make_the_exit_code_whatever_the_display_does(
    small: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_measure", failing)
    monkeypatch.setattr(Progress, "finished", failing)
    assert execute.sweep([small]).failed == 4


def test_results_folder_that_breaks_ends_in_one_line(
    small: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "write", failing)
    with pytest.raises(StorageError, match=r"No space left.*same command") as caught:
        execute.sweep([small])
    assert "\n" not in str(caught.value)


def test_folder_named_like_a_temporary_stops_nothing(small: SweepConfig) -> None:
    folder = store.Folder(Path(small.paths.results), "small").path / "records" / ".tmp-mine"
    folder.mkdir(parents=True)
    (folder / "kept").write_text("kept")
    assert execute.sweep([small]).failed == 0
    assert (folder / "kept").read_text() == "kept"


def test_line_after_half_a_line_is_read_again(small: SweepConfig) -> None:
    made = driver(small)
    path = made.plan.folder.logs / "packs.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"half')
    made.run("opening")
    lines = path.read_text().splitlines()
    assert lines[0] == '{"half'
    assert [json.loads(line)["complete"] for line in lines[1:]] == [2, 2]


class Listener:
    """Hears of packs, and fails at one of the events."""

    def __init__(self, fails: str) -> None:
        self.fails = fails
        self.heard: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def hear(*_: object) -> None:
            self.heard.append(name)
            if name == self.fails:
                raise OSError(32, "Broken pipe")

        return hear


KILLED = (
    "The actor died unexpectedly before finishing this task.\n\tpid: 7\nWorker exited: (1) OOM"
)
FOR_MEMORY = "Task was killed due to the node running low on memory.\nMemory on the node was full"
RAISED = "ray::step()\n  File x, line 1\nValueError: made up"


def failure(number: int, text: str) -> str:
    """What Tune appends to a trial's file of errors."""
    return f"Failure # {number} (occurred at 2026-01-01_00-00-00)\n{text}\n"


@pytest.mark.parametrize(
    ("texts", "reason", "killed"),
    [
        ([KILLED], "the worker process died: Worker exited: (1) OOM", True),
        ([FOR_MEMORY], "the worker process was killed because the machine's memory ran out", True),
        ([RAISED], "ValueError: made up", False),
        ([KILLED, RAISED], "ValueError: made up", False),
        ([RAISED, KILLED], "the worker process died: Worker exited: (1) OOM", True),
        ([], "Ray reported no error", True),
    ],
)
def test_last_failure_of_a_worker_is_told_from_those_before(
    texts: list[str], reason: str, killed: bool, job: Job, tmp_path: Path
) -> None:
    listener, path = Listener("nothing"), tmp_path / "error.txt"
    said: list[str] = []
    listener.__dict__["retried"] = lambda _, error: said.append(error)
    if texts:
        path.write_text("".join(failure(i, text) for i, text in enumerate(texts, 1)))
    tune_trial = SimpleNamespace(config={"job": 0}, local_path=str(tmp_path))
    _Forward([job], listener).on_trial_recover(1, [], tune_trial)
    assert said == [reason]
    assert ("died" in listener.heard) == killed


EVENTS = {
    "started": "on_trial_start",
    "finished": "on_trial_complete",
    "retried": "on_trial_recover",
    "died": "on_trial_recover",
    "lost": "on_trial_error",
}


@pytest.mark.parametrize("event", EVENTS)
def test_event_that_fails_is_not_taken_for_the_packs_failure(
    event: str,
    job: Job,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(output, "_said", set())
    listener = Listener(event)
    forward = _Forward([job], listener)
    error_file = tmp_path / "error.txt"
    error_file.write_text(failure(1, KILLED))
    tune_trial = SimpleNamespace(
        config={"job": 0},
        last_result={"summary": vars(run_pack(job))},
        local_path=str(tmp_path),
    )
    for _ in range(2):
        getattr(forward, EVENTS[event])(1, [], tune_trial)
    forward.on_step_end(1, [])
    assert listener.heard.count(event) == 2
    assert capsys.readouterr().err.count("Broken pipe") == 1


def test_records_that_cannot_be_written_end_the_sweep_and_no_pack(job: Job) -> None:
    class Full:
        def finished(self, *_: object) -> None:
            raise StorageError("no room")

    forward = _Forward([job], Full())  # type: ignore[arg-type]
    summary = {"summary": vars(run_pack(job))}
    forward.on_trial_complete(1, [], SimpleNamespace(config={"job": 0}, last_result=summary))
    with pytest.raises(StorageError, match="no room"):
        forward.on_step_end(1, [])


def test_lost_pack_whose_records_are_there_counts_as_what_they_say(small: SweepConfig) -> None:
    made = driver(small)
    task = next(iter(made.tasks.values()))
    run_pack(task.job)
    made.started(task.job)
    made.lost(task.job, "the worker process died", "details")
    assert (made.failed, made.progress.failed) == (0, 0)
    assert statuses(small) == {"complete": 2}


def test_death_is_counted_for_the_next_worker(small: SweepConfig) -> None:
    made = driver(small)
    task = next(iter(made.tasks.values()))
    for count in (1, 2):
        made.died(task.job)
        assert checkpoints.deaths(made.plan.folder, task.job.pack) == count
