from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from sweep.config.schema import SweepConfig
from sweep.errors import StorageError, TrackingError
from sweep.pack.run import record_failure, run_pack
from sweep.results import store
from sweep.tracking import tracker
from sweep.tracking.connection import connect
from sweep.tracking.run_log import PARENT_TAG, RunLog
from sweep.tracking.tracker import Tracker, check_uri, sync
from tests.sweep import chaos
from tests.sweep.helpers import config, jobs


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated MLflow database, copied for each test as making one takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    connect(f"sqlite:///{path}", "unused", path.parent)
    return path


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def small(tmp_path: Path) -> SweepConfig:
    """A simulated sweep whose two packs are recorded."""
    small = config(tmp_path / "results", simulate=True)
    for job in jobs(small):
        run_pack(job)
    return small


@pytest.fixture
def folder(small: SweepConfig) -> store.Folder:
    return store.Folder(Path(small.paths.results), "small")


@pytest.fixture
def run_log(uri: str, folder: store.Folder) -> RunLog:
    return connect(uri, "small", folder.root)


def runs(uri: str) -> list[Run]:
    client = MlflowClient(uri)
    return list(client.search_runs([client.get_experiment_by_name("small").experiment_id]))


def children(uri: str) -> list[Run]:
    return [run for run in runs(uri) if PARENT_TAG in run.data.tags]


def test_killed_while_the_database_is_made_leaves_no_database(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    connect_there = (
        f"from sweep.tracking.connection import connect; from pathlib import Path; connect("
        f"'sqlite:///{path}', 'small', Path('{tmp_path}'))"
    )
    first = subprocess.Popen([sys.executable, "-c", connect_there], cwd=chaos.ROOT)
    chaos.wait_for(lambda: any(tmp_path.glob(".tmp-*/*")) or first.poll() is not None)
    first.kill()
    first.wait()
    assert not path.exists()
    assert connect(f"sqlite:///{path}", "small", tmp_path).logged() == {}


def test_each_trial_is_one_child_run_of_its_pack(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    assert sync(run_log, folder.record_files()) == 2
    parents = {run.info.run_id: run for run in runs(uri) if PARENT_TAG not in run.data.tags}
    assert len(parents) == 2
    recorded = Counter(run.data.tags["trial_id"] for run in children(uri))
    assert recorded == Counter(list(store.finished(folder.root)))
    for run in children(uri):
        parent = parents[run.data.tags[PARENT_TAG]]
        assert parent.data.tags["defense"] == run.data.params["defense"]
        assert run.info.status == "FINISHED"


def test_child_has_parameters_headline_metrics_and_its_own_records(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    sync(run_log, folder.record_files())
    for run in children(uri):
        assert run.data.params["dataset"] == "iris"
        assert float(run.data.params["learning_rate"]) in (1e-2, 1e-3)
        assert {"test_clean_accuracy", "test/fgsm-linf/0.1"} <= set(run.data.metrics)
        path = Path(run.info.artifact_uri.removeprefix("file://")) / "records.parquet"
        rows = pq.read_table(path)
        assert set(rows["trial_id"].to_pylist()) == {run.data.tags["trial_id"]}
        assert rows.schema.equals(store.RECORDS)


def test_database_knows_its_tables_after_a_sync(uri: str, folder: store.Folder) -> None:
    sync(connect(uri, "small", folder.root), folder.record_files())
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        sampled = {row[0] for row in database.execute("select tbl from sqlite_stat1")}
    database.close()
    assert {"runs", "params", "latest_metrics"} <= sampled


def test_second_sync_logs_nothing(run_log: RunLog, uri: str, folder: store.Folder) -> None:
    sync(run_log, folder.record_files())
    before = {run.info.run_id for run in runs(uri)}
    assert sync(run_log, folder.record_files()) == 0
    assert {run.info.run_id for run in runs(uri)} == before


def test_half_written_pack_is_logged_again(
    run_log: RunLog, uri: str, folder: store.Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(run_log.client, "set_terminated", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sync(run_log, folder.record_files())
    assert len(children(uri)) == 1
    sync(run_log, folder.record_files())
    recorded = Counter(run.data.tags["trial_id"] for run in children(uri))
    assert recorded == Counter(list(store.finished(folder.root)))


def test_failed_trial_is_logged_as_failed_with_its_error(
    run_log: RunLog, uri: str, small: SweepConfig, folder: store.Folder
) -> None:
    job = jobs(replace(small, grid=replace(small.grid, seed=[1])))[0]
    record_failure(job, "ValueError: made up", "Traceback ...")
    sync(run_log, [folder.records(job.pack.pack_id)])
    assert {run.info.status for run in runs(uri)} == {"FAILED"}
    assert {run.data.tags["error"] for run in children(uri)} == {"ValueError: made up"}


def test_superseded_pack_disappears(run_log: RunLog, uri: str, folder: store.Folder) -> None:
    first, second = folder.record_files()
    sync(run_log, [first, second])
    sync(run_log, [second])
    expected = set(store.statuses(second))
    assert {run.data.tags["trial_id"] for run in children(uri)} == expected


def another_root(small: SweepConfig, name: str, **changes: object) -> store.Folder:
    """The same sweep, recorded in another results folder."""
    root = Path(small.paths.results).with_name(name)
    other = replace(small, paths=replace(small.paths, results=str(root)), **changes)
    for job in jobs(other):
        run_pack(job)
    return store.Folder(root, "small")


def test_two_results_folders_share_a_store_and_leave_each_other_alone(
    uri: str, small: SweepConfig, folder: store.Folder
) -> None:
    """The same trials in both, and one that only the second has."""
    other = another_root(small, "other", grid=replace(small.grid, learning_rate=[1e-2, 1e-1]))
    logged: dict[store.Folder, set[str]] = {}
    for which in (folder, other, folder, other, other, folder):
        anew = sync(connect(uri, "small", which.root), which.record_files())
        assert anew == (0 if which in logged else 2)
        logged.setdefault(
            which, {run.info.run_id for run in runs(uri)} - set().union(*logged.values())
        )
    ids = [run.data.tags["trial_id"] for run in children(uri)]
    expected = Counter(list(store.finished(folder.root)))
    expected.update(list(store.finished(other.root)))
    assert Counter(ids) == expected
    assert {run.info.run_id for run in runs(uri)} == set().union(*logged.values())


def test_artifacts_lie_beside_the_database_whoever_comes_first(
    uri: str, small: SweepConfig, folder: store.Folder, tmp_path: Path
) -> None:
    """The first results folder may be another person's, where nothing can be written."""
    other = another_root(small, "other")
    for which in (folder, other):
        sync(connect(uri, "small", which.root), which.record_files())
    places = Counter(run.info.artifact_uri.split("/mlartifacts/")[0] for run in children(uri))
    assert places == {tmp_path.as_uri(): 8}


def test_artifacts_that_may_not_be_written_are_left_out_with_a_warning(
    run_log: RunLog,
    uri: str,
    folder: store.Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_log.client, "log_artifact", forbidden)
    assert sync(run_log, folder.record_files()) == 2
    assert len(children(uri)) == 4
    error = capsys.readouterr().err
    assert "may not write" in error
    assert error.count("\n") == 1


def test_runs_without_a_results_folder_are_neither_deleted_nor_logged_again(
    uri: str, folder: store.Folder
) -> None:
    """As logged by versions before; one of them is of records that are no longer there."""
    first, second = folder.record_files()
    sync(connect(uri, "small", folder.root), [first, second])
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        database.execute("delete from tags where key = 'results_id'")
    database.close()
    before = {run.info.run_id for run in runs(uri)}
    assert sync(connect(uri, "small", folder.root), [first]) == 0
    assert {run.info.run_id for run in runs(uri)} == before


def test_unfinished_pack_of_another_folder_is_left_to_it(
    uri: str, small: SweepConfig, folder: store.Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = connect(uri, "small", folder.root)
    with monkeypatch.context() as patched:
        patched.setattr(half.client, "set_terminated", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            sync(half, folder.record_files())
    other = another_root(small, "other")
    sync(connect(uri, "small", other.root), other.record_files())
    left = [run for run in children(uri) if run.data.tags["results_id"] == half.results_id]
    assert len(left) == 1


def test_id_of_a_results_folder_is_made_once_whoever_comes_first(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from sweep.results.store import results_id; "
    code += "print(results_id(Path(sys.argv[1])))"
    command = [sys.executable, "-c", code, str(tmp_path / "results")]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=chaos.ROOT)
        for _ in range(4)
    ]
    found = {process.communicate()[0].strip() for process in processes}
    assert found == {store.results_id(tmp_path / "results")}
    assert [path.name for path in (tmp_path / "results").iterdir()] == [".id"]


@pytest.mark.parametrize("content", ["", "me", "f" * 33, None])
def test_damaged_id_of_a_results_folder_is_named(content: str | None, tmp_path: Path) -> None:
    if content is None:
        (tmp_path / ".id").mkdir()
    else:
        (tmp_path / ".id").write_text(content)
    with pytest.raises(StorageError, match=r"\.id: must hold the id"):
        store.results_id(tmp_path)


def test_tracker_logs_old_and_new_records(uri: str, folder: store.Folder) -> None:
    first, second = folder.record_files()
    away = second.rename(second.with_suffix(".away"))
    writer = Tracker(folder, uri)
    writer.start()
    writer.add(away.rename(second))
    assert writer.close(resync=False)
    assert writer.packs == 2
    assert len(children(uri)) == 4


def test_tracker_warns_and_goes_on_when_mlflow_fails(
    uri: str,
    folder: store.Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tracker, "read_pack", full)
    writer = Tracker(folder, uri)
    writer.start()
    writer.add(folder.record_files()[0])
    assert not writer.close(resync=False)
    assert "No space left" in capsys.readouterr().err
    monkeypatch.undo()
    assert tracker.main(["sync", f"results={folder.root}", f"uri={uri}"]) == 0
    assert len(children(uri)) == 4


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("mlruns", "must be a database"),
        ("ftp://host/x", "must be a database"),
        ("sqlite:////no/such/folder/mlflow.db", "/no/such/folder does not exist"),
        ("http://127.0.0.1:9", "no MLflow server answers"),
    ],
)
def test_wrong_uri_is_one_line_with_what_to_do(uri: str, named: str) -> None:
    with pytest.raises(TrackingError, match=named) as caught:
        check_uri(uri)
    assert uri in str(caught.value)
    assert "tracking.enabled=false" in str(caught.value)


def test_sync_names_the_known_experiments(
    folder: store.Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tracker.main(["sync", f"results={folder.root}", "experiment=smal"]) == 2
    assert "experiment=smal: no records" in capsys.readouterr().err
