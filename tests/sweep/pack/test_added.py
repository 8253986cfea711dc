"""Rows added later on kept weights equal those of one evaluation of everything, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sweep.config.schema import SweepConfig, Training
from sweep.driver import plan
from sweep.driver.outline import curves_that_are_not_made, outline
from sweep.pack import train
from sweep.pack.run import run_pack
from sweep.results import store, weights
from tests.sweep.helpers import config, jobs

Key = tuple[str, str]
# What tells where and when a row was made, and not what it says.
ELSEWHERE = {"pack_id", "git_commit", "train_seconds", "train_steps_per_second", "pack_size"}
ELSEWHERE |= {"evaluation_seconds"}


def small(results: Path, **evaluation: Any) -> SweepConfig:
    """Four networks that are trained long enough to differ, one of them hopeless."""
    plain = config(results, training=Training(steps=40, curve_every=0))
    asked = {
        "attacks": ["pgd-linf", "fgm-l1"],
        "attack_grid_radii": [0.0, 0.1, 0.5],
        "max_samples": None,
        "certify": False,
        "certificates": [],
    }
    return replace(plain, evaluation=replace(plain.evaluation, **(asked | evaluation)))


MORE = {
    "attacks": ["pgd-linf", "fgm-l1", "pgd-l1", "vertex-l1", "fgsm-linf"],
    "attack_grid_radii": [0.0, 0.05, 0.1, 0.2, 0.5, 1.0],
    "certify": True,
    "certificates": ["certified-l1-best", "certified-l2", "certified-linf"],
}


def run(asked: SweepConfig) -> int:
    """Run what is missing; return how many packs that were."""
    missing = jobs(asked)
    for job in missing:
        summary = run_pack(job)
        assert (summary.error, summary.unwritten) == (None, None)
    return len(missing)


def rows(asked: SweepConfig) -> dict[Key, dict[str, Any]]:
    folder = store.Folder(Path(asked.paths.results), "small")
    found = [row for path in folder.record_files() for row in pq.read_table(path).to_pylist()]
    keyed = {(row["trial_id"], row["evaluation_id"]): row for row in found}
    assert len(keyed) == len(found)  # each row once
    return keyed


def said(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ELSEWHERE}


def kept_bytes(results: Path) -> dict[str, tuple[bytes, int]]:
    files = sorted((results / "small" / "networks").iterdir())
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def grown(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a few rows, then add attacks, radii and a certificate without training."""
    run(small(results))
    before = kept_bytes(results)
    with monkeypatch.context() as patched:
        patched.setattr(train, "train", None)  # whoever trains, fails
        assert run(small(results, attacks=MORE["attacks"])) == 2
        assert run(small(results, **MORE)) == 2
    assert kept_bytes(results) == before


def test_rows_added_in_steps_equal_those_of_one_big_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(tmp_path / "grown", monkeypatch)
    run(small(tmp_path / "whole", **MORE))
    added, whole = rows(small(tmp_path / "grown")), rows(small(tmp_path / "whole"))
    assert added.keys() == whole.keys()
    for key, row in whole.items():
        assert said(added[key]) == said(row)
    assert len({row["accuracy"] for row in whole.values()}) > 5
    assert jobs(small(tmp_path / "grown", **MORE)) == []


def test_rows_are_the_same_whichever_radius_comes_first(tmp_path: Path) -> None:
    run(small(tmp_path / "one", attack_grid_radii=[0.5]))
    run(small(tmp_path / "one", attack_grid_radii=[0.1]))
    run(small(tmp_path / "other", attack_grid_radii=[0.1, 0.5]))
    one, other = rows(small(tmp_path / "one")), rows(small(tmp_path / "other"))
    assert {key: said(row) for key, row in one.items()} == {
        key: said(row) for key, row in other.items()
    }


def test_flags_are_the_same_whichever_attack_comes_first(tmp_path: Path) -> None:
    def trained(folder: str, *attacks: str) -> SweepConfig:
        asked = small(tmp_path / folder, attacks=list(attacks), attack_grid_radii=[0.5, 1.0])
        return replace(asked, training=Training(steps=300, curve_every=0))

    gradient = ("fgm-l1", "pgd-l1", "fgsm-linf", "pgd-linf")
    run(trained("grown", "vertex-l1", "pgd-linf"))
    run(trained("grown", "vertex-l1", *gradient))
    run(trained("whole", "vertex-l1", *gradient))
    grown, whole = rows(trained("grown")), rows(trained("whole"))
    assert {key: row["flags"] for key, row in grown.items()} == {
        key: row["flags"] for key, row in whole.items()
    }
    alone = {key for key, row in grown.items() if row["attack"] == "vertex-l1"}
    run(trained("alone", "vertex-l1"))
    assert {key: said(row) for key, row in rows(trained("alone")).items()} == {
        key: said(whole[key]) for key in alone
    }


def test_added_rows_say_of_their_training_what_the_first_ones_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(tmp_path, monkeypatch)
    of_trial: dict[str, set[tuple[Any, ...]]] = {}
    names = ("pack_id", "pack_size", "train_seconds", "weights_hash", "training_options")
    for row in rows(small(tmp_path)).values():
        of_trial.setdefault(row["trial_id"], set()).add(tuple(row[name] for name in names))
    assert {len(found) for found in of_trial.values()} == {1}


def test_larger_bound_on_samples_and_nested_radii_train_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(small(tmp_path, max_samples=10))
    monkeypatch.setattr(train, "train", None)
    assert run(small(tmp_path)) == 2
    assert run(small(tmp_path, nested=True)) == 2
    assert run(small(tmp_path, nested=True)) == 0


def test_weights_that_are_gone_are_trained_again_and_come_out_the_same(tmp_path: Path) -> None:
    run(small(tmp_path))
    before = rows(small(tmp_path))
    for path in (tmp_path / "small" / "networks").iterdir():
        path.unlink()
    more = small(tmp_path, attacks=MORE["attacks"])
    made = plan.make_plan([more])
    assert "train 4 networks (4 again" in outline(made, jobs_of(made))
    for job in jobs(more):
        summary = run_pack(job)
        assert summary.note is None
    after = rows(small(tmp_path))
    assert before.keys() < after.keys()
    for key, row in before.items():
        assert said(after[key]) == said(row)
    assert jobs(more) == []


def test_network_that_comes_out_otherwise_is_named(tmp_path: Path) -> None:
    run(small(tmp_path))
    folder = store.Folder(tmp_path, "small")
    for path in folder.record_files():
        table = pq.read_table(path)
        place = table.schema.get_field_index("weights_hash")
        other = table["weights_hash"].combine_chunks().fill_null("x").to_pylist()
        changed = table.set_column(place, table.schema.field(place), [["0" * 16] * len(other)])
        store.write_table(path, changed)
    for path in (tmp_path / "small" / "networks").iterdir():
        path.unlink()
    notes = [run_pack(job).note for job in jobs(small(tmp_path, attacks=MORE["attacks"]))]
    assert all(note is not None and "2 networks were trained again" in note for note in notes)


def test_damaged_weights_are_set_aside_and_trained_again(tmp_path: Path) -> None:
    run(small(tmp_path))
    before = rows(small(tmp_path))
    damaged = sorted((tmp_path / "small" / "networks").iterdir())[0]
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(bytes(content))
    run(small(tmp_path, attacks=MORE["attacks"]))
    after = rows(small(tmp_path))
    assert before.keys() < after.keys()
    assert all(said(after[key]) == said(row) for key, row in before.items())
    assert list(damaged.parent.glob("*.damaged"))
    assert set(weights.find(tmp_path)) == {trial for trial, _ in after}


def test_kept_weights_of_other_networks_are_refused(tmp_path: Path) -> None:
    run(small(tmp_path))
    one, other = sorted((tmp_path / "small" / "networks").iterdir())
    trials = {path: weights.trials_of(path) for path in (one, other)}
    nets = {path: weights.load(tmp_path, trials[path]) for path in (one, other)}
    folder = store.Folder(tmp_path, "small")
    for path, wrong in ((one, other), (other, one)):
        weights.write(folder, path.stem, nets[wrong], trials[path])
    for job in jobs(small(tmp_path, attacks=MORE["attacks"])):
        summary = run_pack(job)
        assert summary.failed == 2
        assert summary.error is not None
        assert "are not those that the records speak of" in summary.error
    store.consolidate(folder)
    assert {row["status"] for row in rows(small(tmp_path)).values()} == {"complete"}


def test_diverged_networks_get_empty_rows_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wild(**evaluation: Any) -> SweepConfig:
        plain = small(tmp_path, **evaluation)
        grid = replace(plain.grid, defense=["nominal"], learning_rate=[1e30, 1e-2])
        return replace(plain, grid=grid)

    run(wild())
    monkeypatch.setattr(train, "train", None)
    run(wild(**MORE))
    found = rows(wild())
    of_status: dict[str, set[bool]] = {}
    counts: dict[str, int] = {}
    for (trial, _), row in found.items():
        of_status.setdefault(row["status"], set()).add(row["accuracy"] is None)
        counts[trial] = counts.get(trial, 0) + 1
    assert of_status == {"complete": {False}, "diverged": {True}}
    assert len(set(counts.values())) == 1
    assert jobs(wild(**MORE)) == []


def test_made_up_networks_gain_rows_as_real_ones_do(tmp_path: Path) -> None:
    def made_up(results: Path, **evaluation: Any) -> SweepConfig:
        return replace(small(results, **evaluation), simulate=True)

    run(made_up(tmp_path / "grown"))
    run(made_up(tmp_path / "grown", **MORE))
    run(made_up(tmp_path / "whole", **MORE))
    added, whole = rows(made_up(tmp_path / "grown")), rows(made_up(tmp_path / "whole"))
    assert {key: said(row) for key, row in added.items()} == {
        key: said(row) for key, row in whole.items()
    }


def test_counts_of_what_is_done_are_said_before(tmp_path: Path) -> None:
    run(small(tmp_path))
    grid = replace(small(tmp_path).grid, learning_rate=[1e-2, 1e-3, 1e-4])
    made = plan.make_plan([replace(small(tmp_path, **MORE), grid=grid)])
    text = outline(made, jobs_of(made))
    assert text == (
        "small: train 2 networks in 2 packs; evaluate 4 kept networks in 2 packs "
        "(pgd-linf at 3 radii, fgm-l1 at 3 radii, pgd-l1 at 6 radii, 6 more); 0 of 6 complete"
    )
    evaluated = [task for task in jobs_of(made) if task.job.weights is not None]
    assert len(evaluated) == 2
    assert all(task.price.train_flops == 0 < task.price.evaluation_flops for task in evaluated)


def jobs_of(made: plan.Plan) -> list[plan.Task]:
    return plan.make_tasks(made, plan.Rates(), git_commit="test", device="cpu")


def test_curves_that_are_asked_for_later_train_nothing_and_are_said(tmp_path: Path) -> None:
    run(small(tmp_path))
    watched = Training(steps=40, curve_every=10, bound_checks=1.0)
    made = plan.make_plan([replace(small(tmp_path), training=watched)])
    assert jobs_of(made) == []
    message = curves_that_are_not_made(made)
    assert message is not None
    assert "4 networks of these were trained without the curves" in message
    assert curves_that_are_not_made(plan.make_plan([small(tmp_path)])) is None


def test_rows_of_two_parts_of_a_sweep_meet_in_the_same_networks(tmp_path: Path) -> None:
    one, other = small(tmp_path), small(tmp_path, **MORE)
    made = plan.make_plan([one, other])
    assert [len(part.todo.train) for part in made.parts] == [4, 0]
    assert len(made.parts[1].todo.later) == 4
    assert len(made.trials) == 4
    for task in jobs_of(made):
        run_pack(task.job)
    again = plan.make_plan([one, other])
    assert [len(part.todo.evaluate) for part in again.parts] == [0, 4]
    for task in jobs_of(again):
        run_pack(task.job)
    assert jobs_of(plan.make_plan([one, other])) == []


def test_places_are_given_whole_to_workers_in_other_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(small(Path("here")))
    (job, _) = jobs(small(Path("here"), attacks=MORE["attacks"]))
    assert job.weights is not None
    places = [*job.recorded.values(), *(one.path for one in job.weights.values())]
    assert len(places) == 4
    assert all(place.is_absolute() for place in places)
