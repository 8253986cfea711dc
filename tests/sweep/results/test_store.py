from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.commands import commands
from sweep import files
from sweep.errors import SchemaError
from sweep.grid.packing import Pack
from sweep.grid.rows import wanted_rows
from sweep.grid.trial import Trial
from sweep.pack import records, simulate
from sweep.pack.outcome import failed_pack
from sweep.pack.records import Origin
from sweep.results import schema, store
from sweep.results.schema import NUMERICS_VERSION
from tests.sweep.helpers import config, info, trials

ROWS = wanted_rows(config().evaluation, info())


def table(chosen: list[Trial], *, failed: bool = False) -> pa.Table:
    """Records of these trials as one pack: made up if complete, null if failed."""
    pack, origin = Pack(tuple(chosen)), Origin("small", "test", simulated=True)
    made_up = simulate.measure(pack, info(), ROWS, config().training)
    outcome = failed_pack(len(pack), "Error: made up") if failed else made_up
    return records.build_records(pack, info(), ROWS, config().training, origin, outcome)


def write(folder: store.Folder, name: str, content: pa.Table, written_at: int = 1) -> Path:
    path = folder.records(name)
    store.write_table(path, content)
    os.utime(path, (written_at, written_at))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> store.Folder:
    return store.Folder(tmp_path, "small")


def test_atomic_write_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_temporary_files_of_killed_processes_are_no_records(folder: store.Folder) -> None:
    path = write(folder, "a", table(trials()[:1]))
    half = path.with_name(f"{files.TEMPORARY}1234-b.parquet")
    half.write_bytes(b"PAR1 half a file")
    assert folder.record_files() == [path]
    assert set(store.finished(folder.root)) == {trials()[0].trial_id}
    assert files.remove_temporaries(folder.path) == 1
    assert not half.exists()


def test_finished_trials_of_every_experiment_count_and_failed_ones_do_not(tmp_path: Path) -> None:
    one, two, three = trials()[:3]
    write(store.Folder(tmp_path, "first"), "a", table([one]))
    write(store.Folder(tmp_path, "second"), "b", table([two]))
    write(store.Folder(tmp_path, "second"), "c", table([three], failed=True))
    assert set(store.finished(tmp_path)) == {one.trial_id, two.trial_id}


def test_retried_trial_keeps_only_its_finished_records(folder: store.Folder) -> None:
    one, two = trials()[:2]
    write(folder, "failed", table([one, two], failed=True), written_at=2)
    write(folder, "retried", table([one]), written_at=1)
    assert store.consolidate(folder) == 1
    left = store.scan(folder.record_files())
    assert left[folder.records("failed")] == {two.trial_id: "failed"}
    assert set(left[folder.records("retried")]) == {one.trial_id}
    assert "failed" not in left[folder.records("retried")].values()


def test_newer_of_two_finished_record_sets_stays(folder: store.Folder) -> None:
    one, two = trials()[:2]
    write(folder, "older", table([one, two]), written_at=1)
    write(folder, "newer", table([two]), written_at=2)
    assert store.consolidate(folder) == 1
    held = {path.stem: set(found) for path, found in store.scan(folder.record_files()).items()}
    assert held == {"older": {one.trial_id}, "newer": {two.trial_id}}


def test_file_whose_trials_are_all_superseded_is_deleted(folder: store.Folder) -> None:
    one = trials()[0]
    write(folder, "failed", table([one], failed=True))
    newer = write(folder, "retried", table([one]), written_at=2)
    store.consolidate(folder)
    assert folder.record_files() == [newer]


def test_rows_of_a_trial_in_two_files_are_each_kept_once(folder: store.Folder) -> None:
    one, other = trials()[:2]
    whole = table([one, other])
    first, second = ROWS[0].evaluation_id, ROWS[1].evaluation_id
    ids = whole["evaluation_id"].to_pylist()
    older = write(folder, "a", whole.filter(pa.array([i != first for i in ids])))
    newer = write(folder, "a.more", whole.filter(pa.array([i in (first, second) for i in ids])), 2)
    assert store.consolidate(folder) == 2  # trials of which the older file lost a row
    kept = {p: set(store.read_table(p)["evaluation_id"].to_pylist()) for p in (older, newer)}
    assert kept[newer] == {first, second}
    assert kept[older] == {row.evaluation_id for row in ROWS} - kept[newer]
    known = store.known(folder.root)
    assert set(known) == {one.trial_id, other.trial_id}
    assert all(found.rows == set(ids) for found, _ in known.values())
    assert store.consolidate(folder) == 0


def test_failed_evaluation_leaves_a_finished_network_as_it_is(folder: store.Folder) -> None:
    one = trials()[0]
    finished = write(folder, "a", table([one]).slice(1))
    failed = write(folder, "a.more", table([one], failed=True).slice(0, 1), 2)
    found, path = store.known(folder.root)[one.trial_id]
    assert (found.status == "failed", path) == (False, finished)
    assert ROWS[0].evaluation_id not in found.rows
    assert store.consolidate(folder) == 1
    assert not failed.exists() and finished.exists()


def test_older_schema_is_refused_with_what_to_do(folder: store.Folder) -> None:
    old = table(trials()[:1])
    column = old.schema.get_field_index("schema_version")
    version = pa.array([schema.SCHEMA_VERSION - 1] * old.num_rows, pa.int32())
    path = folder.records("old")
    path.parent.mkdir(parents=True)
    pq.write_table(old.set_column(column, old.schema.field(column), version), path)
    with pytest.raises(SchemaError, match=r"old.parquet.*schema version \d+,.*paths.results"):
        store.finished(folder.root)


def test_foreign_parquet_file_is_refused(folder: store.Folder) -> None:
    path = folder.records("foreign")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(SchemaError, match="no record file"):
        store.finished(folder.root)


def test_manifest_names_what_was_asked_for(folder: store.Folder) -> None:
    store.write_manifest(
        folder,
        config={"a": 1},
        git_commit="c",
        trial_ids=["x", "y"],
        data_hashes={"iris/0": "h"},
        pixel_scales={"MNIST": 0.3},
        overrides=["+experiment=small"],
        labels={"rub": "RUB"},
        kept_trial_ids=["x"],
    )
    manifest = json.loads(folder.manifest.read_text())
    created = manifest.pop("created")
    assert manifest.pop("commands") == [
        {
            "overrides": ["+experiment=small"],
            "git_commit": "c",
            "created": created,
            "num_trials": 2,
            "numerics_version": NUMERICS_VERSION,
        }
    ]
    assert manifest.pop("checksum").startswith("sha256:")
    assert manifest == {
        "experiment": "small",
        "config": {"a": 1},
        "git_commit": "c",
        "numerics_version": NUMERICS_VERSION,
        "num_trials": 2,
        "trial_ids": ["x", "y"],
        "older_trial_ids": [],
        "only_selected_trial_ids": ["y"],
        "data_hashes": {"iris/0": "h"},
        "pixel_scales": {"MNIST": 0.3},
        "overrides": ["+experiment=small"],
        "labels": {"rub": "RUB"},
    }


def ask(folder: store.Folder, *trial_ids: str, **changes: object) -> dict[str, Any]:
    """Write down what a command asks for; return the manifest."""
    asked: dict[str, Any] = {
        "config": {},
        "git_commit": "c",
        "data_hashes": {},
        "pixel_scales": {},
        "overrides": ["name=small"],
    }
    store.write_manifest(folder, trial_ids=trial_ids, **(asked | changes))
    manifest: dict[str, Any] = json.loads(folder.manifest.read_text())
    return manifest


def test_manifest_keeps_every_grid_that_ran_under_its_name(folder: store.Folder) -> None:
    ask(folder, "a", "b", "c", overrides=["one"], data_hashes={"iris/0": "i"})
    ask(folder, "b", overrides=["two"], data_hashes={"wine/0": "w"}, pixel_scales={"MNIST": 0.3})
    manifest = ask(folder, "d", "a", overrides=["one"], git_commit="later")
    assert manifest["trial_ids"] == ["a", "b", "c", "d"]
    assert manifest["num_trials"] == 4
    assert manifest["data_hashes"] == {"iris/0": "i", "wine/0": "w"}
    assert manifest["pixel_scales"] == {"MNIST": 0.3}
    found = [(c["overrides"], c["num_trials"], c["git_commit"]) for c in manifest["commands"]]
    assert found == [(["two"], 1, "c"), (["one"], 2, "later")]


def test_trials_of_other_numerics_are_kept_apart(
    folder: store.Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(folder, "a", "b", overrides=["one"])
    monkeypatch.setattr(store, "NUMERICS_VERSION", NUMERICS_VERSION + 1)
    ask(folder, "c", overrides=["two"])
    manifest = ask(folder, "d", overrides=["two"])
    assert manifest["trial_ids"] == ["c", "d"]
    assert manifest["older_trial_ids"] == ["a", "b"]
    assert [c["overrides"] for c in manifest["commands"]] == [["one"], ["two"]]
    run = "python sweep/run.py two"
    assert commands("small", [manifest]) == [run]


def test_commands_of_every_grid_complete_what_is_missing(folder: store.Folder) -> None:
    ask(folder, "a", overrides=["one"])
    manifest = ask(folder, "b", overrides=["two"])
    expected = ["python sweep/run.py one", "python sweep/run.py two"]
    assert commands("small", [manifest]) == expected


def test_manifest_keeps_what_any_command_kept(folder: store.Folder) -> None:
    assert store.kept_trials(folder) == set()
    ask(folder, "x", "y", kept_trial_ids=["x"])
    assert store.kept_trials(folder) == {"x"}
    ask(folder, "x", "y", "z", kept_trial_ids=["y"])
    ask(folder, "x", "z")
    assert store.kept_trials(folder) == {"x", "y"}


@pytest.mark.parametrize(
    ("config", "kept"),
    [
        ({"keep": {"networks": "all"}}, {"x"}),
        ({"keep": {"networks": "selected"}}, set()),
        ({"parts": [{"keep": {"networks": "none"}}, {"keep": {"networks": "all"}}]}, {"x"}),
        ({}, set()),
        (None, set()),
    ],
)
def test_manifest_that_names_no_kept_trials_tells_by_its_configuration(
    config: object, kept: set[str], folder: store.Folder
) -> None:
    ask(folder, "x")
    manifest = json.loads(folder.manifest.read_text()) | {"config": config}
    del manifest["only_selected_trial_ids"]
    folder.manifest.write_text(json.dumps(manifest))
    assert store.kept_trials(folder) == kept
    ask(folder, "x", "y")
    assert store.kept_trials(folder) == kept


def test_manifest_of_an_older_version_is_kept(folder: store.Folder) -> None:
    files.write_text(
        folder.manifest,
        json.dumps({"experiment": "small", "trial_ids": ["old"], "overrides": ["one"]}),
    )
    manifest = ask(folder, "new", overrides=["two"])
    assert (manifest["trial_ids"], manifest["older_trial_ids"]) == (["new"], ["old"])
    assert [c["overrides"] for c in manifest["commands"]] == [["one"], ["two"]]


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\udcff", '{"checksum": "sha256:0"}'])
def test_damaged_manifest_is_set_aside(
    content: str, folder: store.Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.path.mkdir(parents=True)
    folder.manifest.write_bytes(content.encode(errors="surrogateescape"))
    assert ask(folder, "a")["trial_ids"] == ["a"]
    assert str(folder.manifest) in capsys.readouterr().err
    kept = folder.manifest.with_name("manifest.json.damaged")
    assert kept.read_bytes() == content.encode(errors="surrogateescape")
