from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, Run
from mlflow.exceptions import MlflowException

from sweep.config.schema import SweepConfig
from sweep.errors import StorageError, TrackingError
from sweep.pack.run import record_failure, run_pack
from sweep.results import store
from sweep.results.store import write_table
from sweep.tracking import tracker
from sweep.tracking.connection import connect, experiments
from sweep.tracking.detail import FULL, SUMMARY
from sweep.tracking.run_log import RunLog
from sweep.tracking.runs import read_runs
from sweep.tracking.sync import sync
from sweep.tracking.tracker import Tracker, check_uri
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


def networks(uri: str) -> list[Run]:
    return [run for run in runs(uri) if run.data.tags["kind"] == "trial"]


def recorded(*folders: store.Folder) -> Counter[str]:
    found: Counter[str] = Counter()
    for folder in folders:
        found.update(list(store.finished(folder.root)))
    return found


def logged(uri: str) -> Counter[str]:
    return Counter(run.data.tags["trial_id"] for run in networks(uri))


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
    assert connect(f"sqlite:///{path}", "small", tmp_path).marks == {}


def test_each_network_is_one_run_that_no_other_hides(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    assert sync(run_log, folder, FULL) == 2
    assert logged(uri) == recorded(folder)
    for run in runs(uri):
        assert run.info.status == "FINISHED"
        assert "mlflow.parentRunId" not in run.data.tags  # MLflow folds children away


def test_run_has_parameters_headline_metrics_and_its_own_records(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    sync(run_log, folder, FULL)
    for run in networks(uri):
        assert run.data.params["dataset"] == "iris"
        assert float(run.data.params["learning_rate"]) in (1e-2, 1e-3)
        assert {"clean_accuracy", "fgsm_linf_0_1", "linf_0_1"} <= set(run.data.metrics)
        path = Path(run.info.artifact_uri.removeprefix("file://")) / "records.parquet"
        rows = pq.read_table(path)
        assert set(rows["trial_id"].to_pylist()) == {run.data.tags["trial_id"]}
        assert rows.schema.equals(store.RECORDS)


def test_run_tells_its_data_its_commit_and_what_it_is(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    sync(run_log, folder, FULL)
    row = pq.read_table(folder.record_files()[0]).slice(0, 1).to_pylist()[0]
    for run in networks(uri):
        (used,) = run.inputs.dataset_inputs
        assert (used.dataset.name, used.dataset.digest) == ("iris", row["dataset_hash"])
        commit = run.data.tags["mlflow.source.git.commit"]
        assert row["git_commit"].startswith(commit)
        assert "+" not in commit
        assert run.data.tags["trial_id"] in run.data.tags["mlflow.note.content"]
        assert run.info.run_name.startswith(run.data.params["defense"])


def test_every_metric_can_be_filtered_by_without_backticks(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    sync(run_log, folder, FULL)
    names = {name for run in networks(uri) for name in run.data.metrics}
    assert len(names) > 10
    for name in names:
        bound = sorted(run.data.metrics[name] for run in networks(uri))[0]
        found = run_log.search(f'metrics.{name} > {bound} and params.dataset = "iris"')
        expected = {r.info.run_id for r in networks(uri) if r.data.metrics[name] > bound}
        assert {run.info.run_id for run in found} == expected


def test_experiment_has_views_and_keeps_what_a_person_wrote(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    run_log.client.set_experiment_tag(run_log.experiment_id, "mlflow.note.content", "mine")
    sync(run_log, folder, FULL)
    tags = run_log.client.get_experiment(run_log.experiment_id).tags
    assert tags["mlflow.note.content"] == "mine"
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    views = {k: json.loads(v) for k, v in tags.items() if k.startswith("mlflow.sharedViewState.")}
    assert {view["name"] for view in views.values()} == {"Networks", "Curves: iris"}
    metrics = {name for run in networks(uri) for name in run.data.metrics}
    state = json.loads(views["mlflow.sharedViewState.curves-iris"]["state"])
    assert state["orderByKey"].split("`")[1] in metrics
    assert {chart["metricKey"] for chart in state["compareRunCharts"] if "metricKey" in chart} <= (
        metrics
    )
    assert len(run_log.search(state["searchFilter"])) == len(networks(uri))
    assert experiments(uri) == [("small", run_log.experiment_id)]


def test_curves_are_steps_of_a_metric(run_log: RunLog, uri: str, folder: store.Folder) -> None:
    sync(run_log, folder, FULL)
    curves = [row for file in folder.tables("curves") for row in pq.read_table(file).to_pylist()]
    assert curves
    for run in networks(uri):
        own = [row for row in curves if row["trial_id"] == run.data.tags["trial_id"]]
        history = run_log.client.get_metric_history(run.info.run_id, "validation_accuracy")
        assert sorted((m.step, m.value) for m in history) == [(r["step"], r["value"]) for r in own]


def test_summary_has_the_headline_alone_and_full_completes_the_same_runs(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    assert sync(run_log, folder, SUMMARY) == 2
    before = {run.info.run_id: set(run.data.metrics) for run in networks(uri)}
    for run in networks(uri):
        assert "linf_0_1" in run.data.metrics
        assert "validation_accuracy" not in run.data.metrics
        assert run.inputs.dataset_inputs == []
    assert sync(run_log, folder, FULL) == 2
    after = {run.info.run_id: set(run.data.metrics) for run in networks(uri)}
    assert after.keys() == before.keys()
    assert all(after[run_id] > before[run_id] for run_id in after)
    assert sync(run_log, folder, SUMMARY) == 0  # which full satisfies


def test_run_lasts_as_long_as_its_pack(run_log: RunLog, uri: str, folder: store.Folder) -> None:
    sync(run_log, folder, FULL)
    ends = {path: path.stat().st_mtime for path in folder.record_files()}
    for path, end in ends.items():
        rows = {row["trial_id"]: row for row in pq.read_table(path).to_pylist()}
        taken = sum(row["train_seconds"] + row["evaluation_seconds"] for row in rows.values())
        for run in networks(uri):
            if run.data.tags["trial_id"] in rows:
                assert run.info.end_time == pytest.approx(end * 1000, abs=1)
                assert run.info.end_time - run.info.start_time == pytest.approx(
                    taken * 1000, abs=2
                )


def test_database_knows_its_tables_after_a_sync(uri: str, folder: store.Folder) -> None:
    sync(connect(uri, "small", folder.root), folder, FULL)
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        sampled = {row[0] for row in database.execute("select tbl from sqlite_stat1")}
    database.close()
    assert {"runs", "params", "latest_metrics"} <= sampled


def test_second_sync_logs_nothing(run_log: RunLog, uri: str, folder: store.Folder) -> None:
    sync(run_log, folder, FULL)
    before = {run.info.run_id for run in runs(uri)}
    again = connect(uri, "small", folder.root)
    assert sync(again, folder, FULL) == 0
    assert "networks" not in vars(again)  # no run was looked at but those with marks
    assert {run.info.run_id for run in runs(uri)} == before


CALLS = ("create_run", "log_batch", "log_inputs", "log_artifact", "set_terminated")


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_any_call_leaves_one_run_per_network_after_the_next_sync(
    call: str,
    nth: int,
    uri: str,
    folder: store.Folder,
    run_log: RunLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, done = getattr(run_log.client, call), []

    def killed(*given: object, **named: object) -> object:
        done.append(call)
        return 1 / 0 if len(done) == nth else made(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(run_log.client, call, killed)
        with pytest.raises(ZeroDivisionError):
            sync(run_log, folder, FULL)
    assert sync(connect(uri, "small", folder.root), folder, FULL) >= 1
    assert logged(uri) == recorded(folder)
    for run in networks(uri):
        assert run.info.status == "FINISHED"
        assert {"linf_0_1", "validation_accuracy"} <= run.data.metrics.keys()
        assert len(run.inputs.dataset_inputs) == 1


def test_new_data_are_named_by_one_run_at_a_time(folder: store.Folder) -> None:
    """A server answers others with an error, as its table of data has each once."""
    busy, seen, overlaps = threading.Lock(), set[str](), []

    def log_inputs(run_id: str, used: list[DatasetInput]) -> None:
        free = busy.acquire(blocking=False)
        if not free and used[0].dataset.digest not in seen:
            overlaps.append(run_id)
        time.sleep(0.02)
        seen.add(used[0].dataset.digest)
        if free:
            busy.release()

    found = read_runs(folder.record_files()[0])
    runs = [replace(run, trial_id=f"{run.trial_id}-{n}") for run in found for n in range(4)]
    client = SimpleNamespace(
        create_run=lambda *_: SimpleNamespace(info=SimpleNamespace(run_id="1")),
        log_inputs=log_inputs,
        **{
            name: lambda *_, **__: None for name in ("log_artifact", "log_batch", "set_terminated")
        },
    )
    log = RunLog(client, "1", folder.root, remote=True)
    log.networks = {}
    log.put(runs, FULL)
    assert seen
    assert not overlaps


def test_data_that_another_program_names_at_the_same_time_are_named_again(
    uri: str, folder: store.Folder, run_log: RunLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, tried = run_log.client.log_inputs, []

    def log_inputs(*given: object) -> None:
        tried.append(given)
        if len(tried) == 1:
            raise MlflowException("UNIQUE constraint failed: datasets")
        named(*given)

    monkeypatch.setattr(run_log.client, "log_inputs", log_inputs)
    sync(run_log, folder, FULL)
    assert all(len(run.inputs.dataset_inputs) == 1 for run in networks(uri))


def test_run_made_twice_is_left_once(uri: str, folder: store.Folder, run_log: RunLog) -> None:
    """As when a server did its work and its answer was lost."""
    sync(run_log, folder, FULL)
    first = networks(uri)[0]
    run_log.client.create_run(run_log.experiment_id, tags=first.data.tags)
    path = folder.record_files()[0]
    write_table(path, pq.read_table(path).slice(1))  # as after any change of the file
    sync(connect(uri, "small", folder.root), folder, FULL)
    assert logged(uri) == recorded(folder)
    assert first.info.run_id in {run.info.run_id for run in networks(uri)}


def test_rows_added_to_a_network_are_added_to_its_run(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    sync(run_log, folder, FULL)
    before = {run.info.run_id: run for run in networks(uri)}
    path = folder.record_files()[0]
    rows = pq.read_table(path).to_pylist()
    rows = [row for row in rows if row["attack"] == "fgsm-linf" and row["attack_radius"] > 0]
    more = [{**row, "attack": "new-linf", "accuracy": row["accuracy"] / 2} for row in rows]
    write_table(path.with_stem(f"{path.stem}.more"), pa.Table.from_pylist(more, store.RECORDS))
    assert sync(connect(uri, "small", folder.root), folder, FULL) == 1
    after = {run.info.run_id: run for run in networks(uri)}
    assert after.keys() == before.keys()
    grown = {row["trial_id"] for row in more}
    for run_id, run in after.items():
        old, new = before[run_id].data.metrics, run.data.metrics
        assert run.info.start_time == before[run_id].info.start_time
        if run.data.tags["trial_id"] not in grown:
            assert new == old
            continue
        assert new["new_linf_0_1"] == old["fgsm_linf_0_1"] / 2
        assert new["linf_0_1"] == min(old["linf_0_1"], new["new_linf_0_1"])
        assert new["fgsm_linf_0_1"] == old["fgsm_linf_0_1"]
        assert new["clean_accuracy"] == old["clean_accuracy"]


def test_network_trained_again_shows_nothing_of_the_one_before(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    """To other weights, to divergence, to a failure, or to the same weights as before."""
    sync(run_log, folder, FULL)
    before = {run.data.tags["trial_id"]: run for run in networks(uri)}
    other, diverged, failed, same = sorted(before)
    lost = {"accuracy": None, "weights_hash": None}
    changes = {
        other: {"weights_hash": "0" * 16, "accuracy": 0.25},
        diverged: {"status": "diverged", "diverged_step": 2, **lost},
        failed: {"status": "failed", "error": "ValueError: made up", **lost},
        same: {},
    }
    model = run_log.client.create_logged_model(
        run_log.experiment_id, source_run_id=before[other].info.run_id
    )
    for path in folder.record_files():
        rows = [{**row, **changes[row["trial_id"]]} for row in pq.read_table(path).to_pylist()]
        rows = [row for row in rows if row["attack"] != "fgm-l1" or row["trial_id"] == same]
        write_table(path, pa.Table.from_pylist(rows, store.RECORDS))
        folder.curves(path.stem).unlink()
    sync(connect(uri, "small", folder.root), folder, FULL)
    after = {run.data.tags["trial_id"]: run for run in networks(uri)}
    assert len(networks(uri)) == len(after) == 4
    kept = {trial for trial in after if after[trial].info.run_id == before[trial].info.run_id}
    assert kept == {same}
    found = after[other].data.metrics
    assert found["clean_accuracy"] == found["fgsm_linf_0_1"] == 0.25
    assert not any("fgm_l1" in name for name in found)  # not measured this time
    assert "validation_accuracy" not in found  # nor drawn
    assert after[same].data.metrics == before[same].data.metrics
    assert not any("accuracy" in name or "linf" in name for name in after[diverged].data.metrics)
    assert after[failed].info.status == "FAILED"
    assert "clean_accuracy" not in after[failed].data.metrics
    assert model.model_id not in {
        found.model_id for found in run_log.client.search_logged_models([run_log.experiment_id])
    }
    assert sync(connect(uri, "small", folder.root), folder, FULL) == 0


def test_failed_trial_is_logged_as_failed_with_its_error(
    run_log: RunLog, uri: str, small: SweepConfig, folder: store.Folder
) -> None:
    job = jobs(replace(small, grid=replace(small.grid, seed=[1])))[0]
    record_failure(job, "ValueError: made up", "Traceback ...")
    sync(run_log, folder, FULL)
    failed = [run for run in networks(uri) if run.info.status == "FAILED"]
    assert {run.data.tags["trial_id"] for run in failed} == {t.trial_id for t in job.pack.trials}
    assert {run.data.tags["error"] for run in failed} == {"ValueError: made up"}


def test_failed_trial_that_is_trained_keeps_its_run(
    run_log: RunLog, uri: str, small: SweepConfig, folder: store.Folder
) -> None:
    job = jobs(replace(small, grid=replace(small.grid, seed=[1])))[0]
    record_failure(job, "ValueError: made up", "Traceback ...")
    sync(run_log, folder, FULL)
    ids = {run.info.run_id for run in networks(uri)}
    folder.records(job.pack.pack_id).unlink()
    run_pack(job)
    sync(connect(uri, "small", folder.root), folder, FULL)
    assert {run.info.run_id for run in networks(uri)} == ids
    assert {run.info.status for run in networks(uri)} == {"FINISHED"}
    assert all("clean_accuracy" in run.data.metrics for run in networks(uri))


def test_network_whose_records_are_gone_disappears(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    first, second = folder.record_files()
    sync(run_log, folder, FULL)
    first.unlink()
    sync(connect(uri, "small", folder.root), folder, FULL)
    assert logged(uri) == Counter(list(store.statuses(second)))


def test_networks_packed_anew_keep_their_runs(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    sync(run_log, folder, FULL)
    before = {run.info.run_id for run in networks(uri)}
    first, second = folder.record_files()
    whole = pa.concat_tables([pq.read_table(first), pq.read_table(second)])
    write_table(first.with_stem("together"), whole)
    first.unlink()
    second.unlink()
    assert sync(connect(uri, "small", folder.root), folder, FULL) == 1
    assert {run.info.run_id for run in networks(uri)} == before


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
    found: dict[store.Folder, set[str]] = {}
    for which in (folder, other, folder, other, other, folder):
        anew = sync(connect(uri, "small", which.root), which, FULL)
        assert anew == (0 if which in found else 2)
        found.setdefault(
            which, {run.info.run_id for run in runs(uri)} - set().union(*found.values())
        )
    assert logged(uri) == recorded(folder, other)
    assert {run.info.run_id for run in runs(uri)} == set().union(*found.values())


def test_artifacts_lie_beside_the_database_whoever_comes_first(
    uri: str, small: SweepConfig, folder: store.Folder, tmp_path: Path
) -> None:
    """The first results folder may be another person's, where nothing can be written."""
    other = another_root(small, "other")
    for which in (folder, other):
        sync(connect(uri, "small", which.root), which, FULL)
    places = Counter(run.info.artifact_uri.split("/mlartifacts/")[0] for run in networks(uri))
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
    assert sync(run_log, folder, FULL) == 2
    assert logged(uri) == recorded(folder)
    error = capsys.readouterr().err
    assert "may not write" in error
    assert error.count("\n") == 1


def test_runs_of_versions_that_logged_packs_stay_as_they_are(
    run_log: RunLog, uri: str, folder: store.Folder
) -> None:
    client, experiment = run_log.client, run_log.experiment_id
    trial = next(iter(recorded(folder)))
    own = {"results_id": run_log.results_id}
    pack = client.create_run(experiment, tags={"kind": "pack", **own}, run_name="iris x2")
    tags = {"kind": "trial", "trial_id": trial, "mlflow.parentRunId": pack.info.run_id, **own}
    child = client.create_run(experiment, tags=tags, run_name="iris r=0.1")
    client.log_metric(child.info.run_id, "test/pgd-linf/0.1", 0.5)
    sync(run_log, folder, FULL)
    assert logged(uri) == recorded(folder) + Counter([trial])
    found = {run.info.run_id: run for run in runs(uri)}
    assert found[pack.info.run_id].data.tags["kind"] == "pack"
    assert found[child.info.run_id].data.metrics == {"test/pgd-linf/0.1": 0.5}


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
    assert writer.files == 2
    assert len(networks(uri)) == 4


def test_tracker_warns_and_goes_on_when_mlflow_fails(
    uri: str,
    folder: store.Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sweep.tracking.sync.read_runs", full)
    writer = Tracker(folder, uri)
    writer.start()
    writer.add(folder.record_files()[0])
    assert not writer.close(resync=False)
    assert "No space left" in capsys.readouterr().err
    monkeypatch.undo()
    assert tracker.main(["sync", f"results={folder.root}", f"uri={uri}"]) == 0
    assert len(networks(uri)) == 4


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


@pytest.mark.parametrize("results", ["s3://bucket/results", "gs:bucket", "", "~/results"])
def test_sync_refuses_what_is_no_folder(
    results: str, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tracker.main(["sync", f"results={results}", f"uri={uri}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: results={results}: ")
