"""A sweep after code changed; the change is another fingerprint, as an edited file would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from sweep.config.schema import SweepConfig
from sweep.cost.calibration import Rates
from sweep.driver import driver
from sweep.driver.outline import outline
from sweep.driver.plan import Plan, make_tasks
from sweep.driver.renewal import ended, previewed_plan, renewed_plan
from sweep.errors import LockedError
from sweep.pack.run import run_pack
from sweep.results import fingerprint, store
from sweep.results.lock import locked
from sweep.upkeep import check
from tests.sweep.helpers import config

OLD, NOW = "a" * 40, "b" * 40
Change = Callable[..., None]


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Change:
    """Change the source of a defense or an attack."""

    def change(*, defense: str = "", attack: str = "", to: str = "0" * 12) -> None:
        training, evaluation = fingerprint.of_training, fingerprint.of_evaluation
        if defense:
            monkeypatch.setattr(
                fingerprint, "of_training", lambda d, n: to if d == defense else training(d, n)
            )
        if attack:
            monkeypatch.setattr(
                fingerprint, "of_evaluation", lambda a, n: to if a == attack else evaluation(a, n)
            )

    return change


def small(root: Path, retrain: str = "none", **changes: object) -> SweepConfig:
    return config(root / "results", retrain=retrain, **changes)


def run(asked: SweepConfig, commit: str) -> Plan:
    """Run a sweep in this process; return what its plan was."""
    plan = renewed_plan([asked], commit)
    for task in make_tasks(plan, Rates(), git_commit=commit, device="cpu"):
        assert run_pack(task.job).failed == 0
    return plan


def rows_of(root: Path, name: str = "small") -> pl.DataFrame:
    folder = store.Folder(root / "results", name)
    return pl.concat([pl.read_parquet(path) for path in folder.record_files()])


def said(plan: Plan) -> str:
    return outline(plan, make_tasks(plan, Rates(), git_commit=NOW, device="cpu"))


def trained(plan: Plan) -> list[str]:
    return sorted(trial.defense for part in plan.parts for trial in part.todo.train)


def test_same_code_at_another_commit_is_said_and_nothing_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(small(tmp_path), OLD)
    capsys.readouterr()
    plan = run(small(tmp_path), NOW)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "aaaaaaa" in shown.out
    assert said(plan).startswith("small: all 4 trials are complete;")


def test_changed_defense_is_kept_with_a_warning_unless_asked(
    tmp_path: Path, edit: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    run(small(tmp_path), OLD)
    before = rows_of(tmp_path)
    edit(defense="arub-linf")
    for look in (previewed_plan, renewed_plan):
        capsys.readouterr()
        plan = look([small(tmp_path)], NOW)
        warning = capsys.readouterr().err
        for part in ("warning", "trained 2 of 4 recorded", "arub-linf 2", "aaaaaaa", "bbbbbbb"):
            assert part in warning
        assert "all 4 trials are complete (2 of them by other code than today's)" in said(plan)
    assert rows_of(tmp_path).equals(before)


def test_changed_defense_is_trained_again_and_replaces_the_old(
    tmp_path: Path, edit: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    run(small(tmp_path), OLD)
    before = rows_of(tmp_path)
    edit(defense="arub-linf")
    preview = previewed_plan([small(tmp_path, "changed")], NOW)
    assert trained(preview) == ["arub-linf", "arub-linf"]
    assert rows_of(tmp_path).equals(before)
    assert trained(run(small(tmp_path, "changed"), NOW)) == ["arub-linf", "arub-linf"]
    after = rows_of(tmp_path)
    assert after.height == before.height
    assert dict(after.select("defense", "git_commit").unique().rows()) == {
        "arub-linf": NOW,
        "nominal": OLD,
    }
    assert set(after.filter(defense="arub-linf")["source_fingerprint"]) == {"0" * 12}
    capsys.readouterr()
    assert trained(run(small(tmp_path, "changed"), NOW)) == []
    assert "warning" not in capsys.readouterr().err


def test_changed_attack_is_measured_again_on_the_kept_networks(
    tmp_path: Path, edit: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    run(small(tmp_path), OLD)
    before = rows_of(tmp_path)
    weights = sorted((tmp_path / "results" / "small" / "networks").glob("*"))
    assert weights
    kept = {path: path.read_bytes() for path in weights}
    edit(attack="fgm-l1")
    preview = previewed_plan([small(tmp_path, "changed")], NOW)
    assert "measured 24 recorded rows" in capsys.readouterr().err
    assert [part.todo.rows for part in preview.parts] == [24]
    plan = run(small(tmp_path, "changed"), NOW)
    assert trained(plan) == []
    after = rows_of(tmp_path)
    assert set(after.filter(attack="fgm-l1")["git_commit"]) == {NOW}
    assert set(after.filter(pl.col("attack") != "fgm-l1")["git_commit"]) == {OLD}
    key = ["trial_id", "evaluation_id"]
    same = ["accuracy", "num_samples", "weights_hash", "source_fingerprint"]
    assert after.select(key + same).sort(key).equals(before.select(key + same).sort(key))
    assert {path: path.read_bytes() for path in weights} == kept
    assert not [line for line in check.check(tmp_path / "results").findings if "parquet" in line]


def test_everything_of_the_grid_is_made_again_and_nothing_else(tmp_path: Path) -> None:
    whole = small(tmp_path)
    run(whole, OLD)
    grid = replace(whole.grid, learning_rate=[1e-3])
    assert trained(run(small(tmp_path, "all", grid=grid), NOW)) == ["arub-linf", "nominal"]
    commits = rows_of(tmp_path).select("learning_rate", "git_commit").unique().rows()
    assert sorted(commits) == [(1e-3, NOW), (1e-2, OLD)]


def test_everything_made_again_and_stopped_on_its_way_goes_on(
    tmp_path: Path, edit: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    run(small(tmp_path), OLD)
    again = small(tmp_path, "all")
    begun = renewed_plan([again], NOW)
    first, *_ = make_tasks(begun, Rates(), git_commit=NOW, device="cpu")
    assert run_pack(first.job).failed == 0  # and killed here
    done = first.job.pack.first.defense
    (other,) = {"nominal", "arub-linf"} - {done}
    before = rows_of(tmp_path)
    assert trained(previewed_plan([again], NOW)) == [other, other]
    edit(defense=done)  # what the part that is done was trained by is not today's any more
    assert trained(previewed_plan([again], NOW)) == sorted([done, done, other, other])
    edit(defense=done, to=before["source_fingerprint"][0])
    capsys.readouterr()
    plan = run(again, NOW)
    assert trained(plan) == [other, other]
    assert "2 networks are new already" in capsys.readouterr().out
    assert set(rows_of(tmp_path)["git_commit"]) == {NOW}
    grid = replace(again.grid, learning_rate=[1e-3])
    assert len(trained(previewed_plan([replace(again, grid=grid)], NOW))) == 2  # another grid
    assert trained(previewed_plan([again], NOW)) == []
    ended(plan)
    assert len(trained(previewed_plan([again], NOW))) == 4  # asked for once more


def test_small_grid_renews_its_own_stale_networks_and_hides_no_others(
    tmp_path: Path, edit: Change
) -> None:
    whole = small(tmp_path)
    run(whole, OLD)
    edit(defense="arub-linf")
    edit(attack="fgm-l1")
    grid = replace(whole.grid, learning_rate=[1e-3])
    plan = run(small(tmp_path, "changed", grid=grid), NOW)
    assert trained(plan) == ["arub-linf"]
    left = rows_of(tmp_path).filter(learning_rate=1e-2)
    assert set(left["git_commit"]) == {OLD}
    assert left.height == rows_of(tmp_path).height / 2


def test_stale_network_that_another_experiment_holds_is_replaced_there(
    tmp_path: Path, edit: Change
) -> None:
    run(small(tmp_path), OLD)
    edit(defense="arub-linf")
    plan = run(small(tmp_path, "changed", name="other"), NOW)
    assert trained(plan) == ["arub-linf", "arub-linf"]
    assert set(rows_of(tmp_path)["defense"]) == {"nominal"}
    assert set(rows_of(tmp_path, "other")["defense"]) == {"arub-linf"}


def test_experiment_that_is_running_is_not_taken_from(tmp_path: Path, edit: Change) -> None:
    run(small(tmp_path), OLD)
    before = rows_of(tmp_path)
    edit(defense="arub-linf")
    with locked(tmp_path / "results" / "small"), pytest.raises(LockedError, match="'small'"):
        renewed_plan([small(tmp_path, "changed", name="other")], NOW)
    assert rows_of(tmp_path).equals(before)


def test_stale_network_without_weights_that_lacks_rows_is_replaced_whole(
    tmp_path: Path, edit: Change
) -> None:
    first = small(tmp_path)
    run(first, OLD)
    for path in (tmp_path / "results" / "small" / "networks").glob("*"):
        path.unlink()
    edit(defense="arub-linf")
    more = replace(first.evaluation, attacks=[*first.evaluation.attacks, "fgm-l2"])
    run(small(tmp_path, evaluation=more), NOW)
    stale = rows_of(tmp_path).filter(defense="arub-linf")
    assert set(stale["git_commit"]) == {NOW}
    assert set(stale["source_fingerprint"]) == {"0" * 12}


def test_code_that_goes_back_is_as_new(
    tmp_path: Path, edit: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(defense="arub-linf")
    run(small(tmp_path), OLD)
    edit(defense="arub-linf", to="1" * 12)
    capsys.readouterr()
    run(small(tmp_path), NOW)
    assert "trained 2 of 4 recorded networks" in capsys.readouterr().err
    edit(defense="arub-linf", to="0" * 12)
    run(small(tmp_path), NOW)
    assert capsys.readouterr().err == ""


def test_dry_run_and_sweep_warn(
    tmp_path: Path, edit: Change, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = small(tmp_path, debug=True)
    driver.sweep([asked])
    edit(defense="arub-linf")
    capsys.readouterr()
    driver.dry_run([replace(asked, dry_run=True, debug=False)])
    driver.sweep([asked])
    shown = capsys.readouterr()
    assert shown.err.count("trained 2 of 4 recorded networks") == 2
    assert shown.out.count("all 4 trials are complete (2 of them by other code") == 2
