"""What commands asked for under a name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.commands import commands
from sweep import files
from sweep.results import manifests, store
from sweep.results.schema import NUMERICS_VERSION


@pytest.fixture
def folder(tmp_path: Path) -> store.Folder:
    return store.Folder(tmp_path, "small")


def test_manifest_names_what_was_asked_for(folder: store.Folder) -> None:
    manifests.write(
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
    manifests.write(folder, trial_ids=trial_ids, **(asked | changes))
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
    monkeypatch.setattr(manifests, "NUMERICS_VERSION", NUMERICS_VERSION + 1)
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
    assert manifests.kept_trials(folder) == set()
    ask(folder, "x", "y", kept_trial_ids=["x"])
    assert manifests.kept_trials(folder) == {"x"}
    ask(folder, "x", "y", "z", kept_trial_ids=["y"])
    ask(folder, "x", "z")
    assert manifests.kept_trials(folder) == {"x", "y"}


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
    del manifest["only_selected_trial_ids"], manifest["checksum"]  # as older ones are
    folder.manifest.write_text(json.dumps(manifest))
    assert manifests.kept_trials(folder) == kept
    ask(folder, "x", "y")
    assert manifests.kept_trials(folder) == kept


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
