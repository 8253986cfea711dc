from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from robust import networks
from sweep.results import store, weights
from sweep.results.__main__ import main
from sweep.results.checksum import sealed_json
from sweep.upkeep import check, migrate
from tests.sweep.upkeep.test_migrate import BEFORE

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder in which nothing is wrong."""
    root = tmp_path_factory.mktemp("sound")
    for name in ("real", "made_up"):
        shutil.copytree(BEFORE / name, root / name)
    list(migrate.migrate(root))
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    return tmp_path


def first(root: Path, kind: str = "records") -> Path:
    return sorted((root / "real" / kind).glob("*.parquet"))[0]


def rewritten(path: Path, change: Change) -> None:
    store.write_table(path, change(pl.read_parquet(path)).to_arrow().cast(store.RECORDS))


def test_sound_folder_has_no_finding(root: Path) -> None:
    seen = check.check(root)
    assert seen.findings == []
    assert seen.counts["files of records"] == 9
    assert seen.counts["files of strong attacks"] == 1
    assert seen.counts["trials"] == 26
    (summary,) = check.lines_of(seen, root)
    assert summary.endswith("nothing is wrong")


CHANGES: dict[str, tuple[Change, str]] = {
    "another rate": (lambda t: t.with_columns(pl.col("learning_rate") * 2), "trial_id"),
    "another commit of data": (lambda t: t.with_columns(dataset_hash=pl.lit("x")), "trial_id"),
    "another radius": (lambda t: t.with_columns(pl.col("attack_radius") + 1), "evaluation_id"),
    "other rules": (lambda t: t.with_columns(evaluation_options=pl.lit("{}")), "evaluation_id"),
    "no trial id": (lambda t: t.with_columns(trial_id=pl.lit("0" * 16)), "trial_id"),
    "infinite rate": (lambda t: t.with_columns(learning_rate=pl.lit(float("inf"))), "trial_id"),
    "rows twice": (lambda t: pl.concat([t, t.head(3)]), "3 rows stand in it twice"),
    "accuracy above 1": (lambda t: t.with_columns(pl.col("accuracy") + 1), "[0, 1]"),
    "accuracy that is no number": (
        lambda t: t.with_columns(accuracy=pl.lit(float("nan"))),
        "[0, 1]",
    ),
    "accuracy of nothing": (lambda t: t.with_columns(accuracy=pl.lit(None, pl.Float64)), "lack"),
    "unknown status": (lambda t: t.with_columns(status=pl.lit("done")), "status done"),
    "unknown split": (lambda t: t.with_columns(split=pl.lit("train")), "split train"),
}


@pytest.mark.parametrize(("change", "named"), CHANGES.values(), ids=CHANGES.keys())
def test_row_that_contradicts_itself_is_found(change: Change, named: str, root: Path) -> None:
    path = first(root)
    rewritten(path, change)
    found = [line for line in check.check(root).findings if line.startswith(f"{path}: ")]
    assert any(named in line for line in found)


@pytest.mark.parametrize("kind", ["records", "curves", "strong"])
def test_flipped_byte_is_found_and_nothing_is_changed(kind: str, root: Path) -> None:
    path = first(root, kind)
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 1
    path.write_bytes(whole)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    found = check.check(root).findings
    assert any(line.startswith(f"{path}: is damaged") for line in found)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_rows_in_two_files_are_found_where_they_stand_again(root: Path) -> None:
    path = first(root)
    again = path.with_name("ffffffffffffffff.parquet")
    shutil.copy(path, again)
    (line,) = check.check(root).findings
    assert line.startswith(f"{again}: ")
    assert "another file" in line


def test_rows_of_a_trial_that_were_added_later_are_no_finding(root: Path) -> None:
    path = first(root)
    rows = pl.read_parquet(path)
    later = pl.col("attack") == "certified-l1"
    rewritten(path, lambda t: t.filter(~later))
    added = path.with_name("ffffffffffffffff.parquet")
    store.write_table(added, rows.filter(later).to_arrow().cast(store.RECORDS))
    assert check.check(root).findings == []


def test_missing_trials_and_trials_never_asked_for_are_counted(root: Path) -> None:
    manifest = root / "real" / "manifest.json"
    told = json.loads(manifest.read_text())
    told["trial_ids"] = ["0" * 16, "1" * 16, *told["trial_ids"][1:]]
    manifest.write_text(sealed_json(told))
    lines = check.check(root).findings
    assert len(lines) == 2
    assert all(line.startswith(f"{manifest}: ") for line in lines)
    assert "2 of 17 trials" in lines[0]
    assert "1 recorded trials" in lines[1]


def test_trial_that_another_experiment_recorded_is_not_missing(root: Path) -> None:
    there = json.loads((root / "made_up" / "manifest.json").read_text())["trial_ids"]
    manifest = root / "real" / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(sealed_json(told | {"trial_ids": [*told["trial_ids"], there[0]]}))
    assert check.check(root).findings == []
    assert check.check(root, "real").findings == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"trial_ids": 3}'])
def test_damaged_manifest_is_found(content: str, root: Path) -> None:
    (root / "real" / "manifest.json").write_text(content)
    (line,) = check.check(root).findings
    assert "manifest.json: is damaged" in line


def test_any_flipped_byte_of_a_manifest_is_found(root: Path) -> None:
    manifest = root / "made_up" / "manifest.json"
    whole = manifest.read_bytes()
    for place in range(0, len(whole) - 1, 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        manifest.write_bytes(damaged)
        seen = check.Seen()
        check._manifest(store.Folder(root, "made_up"), set(), set(), seen)
        assert [line for line in seen.findings if "is damaged" in line], damaged[place - 9 :][:20]


def test_manifest_without_a_checksum_is_an_older_one(root: Path) -> None:
    manifest = root / "made_up" / "manifest.json"
    told = json.loads(manifest.read_text())
    del told["checksum"]
    manifest.write_text(json.dumps(told))
    assert check.check(root).findings == []


def test_damaged_weights_are_found(root: Path) -> None:
    trials = sorted(set(pl.read_parquet(first(root))["trial_id"]))
    net = networks.build("mlp-1x8", 4, 3, len(trials), seed=0)
    path = weights.write(store.Folder(root, "real"), "0123456789abcdef", net, trials)
    seen = check.check(root)
    assert seen.findings == []
    assert seen.counts["files of weights"] == 1
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    (line,) = check.check(root).findings
    assert line.startswith(f"{path}: is damaged")


def test_weights_that_records_are_not_of_are_found(root: Path) -> None:
    trials = sorted(set(pl.read_parquet(first(root))["trial_id"]))
    net = networks.build("mlp-1x8", 4, 3, len(trials), seed=0)
    # The hash as its definition says it: the bytes of weights and biases, layer by layer.
    hashes = {
        trial: hashlib.sha256(
            b"".join(parameter[index].detach().numpy().tobytes() for parameter in net.parameters())
        ).hexdigest()[:16]
        for index, trial in enumerate(trials)
    }
    path = weights.write(store.Folder(root, "real"), "0123456789abcdef", net, trials)
    named = pl.col("trial_id").replace_strict(hashes)
    rewritten(first(root), lambda t: t.with_columns(weights_hash=named))
    assert check.check(root).findings == []
    other = pl.when(pl.col("trial_id") == trials[-1]).then(pl.lit("0" * 16)).otherwise(named)
    rewritten(first(root), lambda t: t.with_columns(weights_hash=other))
    (line,) = check.check(root).findings
    assert line.startswith(f"{path}: holds other weights")
    for part in (trials[-1], hashes[trials[-1]], "0" * 16):
        assert part in line
    assert not any(trial in line for trial in trials[:-1])


def test_weights_that_fit_no_network_are_a_finding(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = sorted(set(pl.read_parquet(first(root))["trial_id"]))
    net = networks.build("mlp-1x8", 4, 3, len(trials), seed=0)
    path = weights.write(store.Folder(root, "real"), "0123456789abcdef", net, trials)
    rewritten(first(root), lambda t: t.with_columns(weights_hash=pl.lit("0" * 16)))

    def refuse(file: Path) -> None:
        raise ValueError(f"{file}: holds no networks of this project")

    monkeypatch.setattr(networks, "load", refuse)
    (line,) = check.check(root).findings
    assert line == f"{path}: holds no networks of this project"


def test_command_says_each_finding_in_a_line_and_ends_with_1(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"results={root}"]) == 0
    capsys.readouterr()
    (root / "real" / "manifest.json").write_text("{")
    assert main(["check", f"results={root}", "experiment=real"]) == 1
    finding, summary = capsys.readouterr().out.splitlines()
    assert "manifest.json" in finding
    assert "1 findings" in summary
