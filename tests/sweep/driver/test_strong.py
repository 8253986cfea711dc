"""AutoAttack on the selected networks: which are picked, what is recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from robust import networks
from robust.networks import MLP
from robust.norms import norm as length_of
from sweep.config.schema import Evaluation, SweepConfig
from sweep.driver import strong
from sweep.errors import UserError
from sweep.pack import autoattack, train
from sweep.pack.run import run_pack
from sweep.results import fingerprint, schema
from tests.sweep.helpers import config, jobs

QUICK = Evaluation(
    attacks=["pgd-linf", "pgd-l1"],
    attack_grid_radii=[0.0, 0.3],
    strong_grid_radii=[0.3],
    strong_samples=8,
)


def test_missing_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoattack, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[strong\]'"):
        autoattack.require()


def test_pick_is_the_best_on_validation_and_never_looks_at_test(tmp_path: Path) -> None:
    small = config(tmp_path, evaluation=QUICK)
    for job in jobs(small):
        run_pack(job)
    paths = sorted((tmp_path / "small" / "records").glob("*.parquet"))
    records = pl.concat([pl.read_parquet(path) for path in paths])
    picked = strong.picks_of(records, [0.3])
    assert picked.height == 2 * 2  # defenses x norms
    spoiled = records.with_columns(
        accuracy=pl.when(pl.col("split") == "test").then(0.5).otherwise(pl.col("accuracy"))
    )
    key = ["trial_id", "attack"]
    again = strong.picks_of(spoiled, [0.3])
    assert picked.select(key).sort(key).equals(again.select(key).sort(key))
    validation = records.filter(
        (pl.col("split") == "validation") & (pl.col("attack_grid_radius") == 0.3)
    )
    for row in picked.to_dicts():
        rivals = validation.filter(
            (pl.col("defense") == row["defense"]) & (pl.col("attack") == row["attack"])
        )
        own = rivals.filter(pl.col("trial_id") == row["trial_id"])["accuracy"].item()
        assert own == rivals["accuracy"].max()


@pytest.mark.parametrize("norm", autoattack.NORMS)
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_points_stay_in_ball_and_box_for_any_number_of_classes(norm: str, classes: int) -> None:
    net = networks.build("mlp-1x8", 4, classes, 1, seed=3)
    x = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
    y = net(x)[0].argmax(dim=1)
    found = autoattack.perturb(net, x, y, norm, 0.4, (0.0, 1.0), 0, ("apgd-ce", "apgd-t"))
    assert found.min() >= 0
    assert found.max() <= 1
    assert length_of(found - x, norm).max() <= 0.4 * (1 + 1e-6) + 1e-7
    again = autoattack.perturb(net, x, y, norm, 0.4, (0.0, 1.0), 0, ("apgd-ce", "apgd-t"))
    assert torch.equal(found, again)


def quick_attacks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let AutoAttack be its first step; return the calls that are made of it."""
    inner, calls = autoattack.perturb, []

    def quick(*given: object, **options: object) -> torch.Tensor:
        calls.append(given)
        return inner(*given, steps=("apgd-ce",))  # type: ignore[arg-type]

    monkeypatch.setattr(autoattack, "perturb", quick)
    return calls


def run_strong(small: SweepConfig, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(strong.compose, "compose", lambda argv: [small])
    return strong.main([])


def strong_rows(folder: Path) -> pl.DataFrame:
    files = sorted((folder / "small" / "strong").glob("*.parquet"))
    return pl.concat([pl.read_parquet(path) for path in files])


def test_changed_radii_or_samples_are_attacked_and_the_rest_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = quick_attacks(monkeypatch)
    wide = replace(QUICK, attack_grid_radii=[0.0, 0.3, 0.5])
    small = config(tmp_path, evaluation=wide)
    for job in jobs(small):
        run_pack(job)
    assert run_strong(small, monkeypatch) == 0
    assert len(calls) == 2 * 2  # defenses x norms
    more = replace(small, evaluation=replace(wide, strong_grid_radii=[0.3, 0.5]))
    assert run_strong(more, monkeypatch) == 0
    assert len(calls) == 4 + 4
    assert set(strong_rows(tmp_path)["attack_grid_radius"]) == {0.3, 0.5}
    assert strong_rows(tmp_path).height == 8
    fewer = replace(small, evaluation=replace(wide, strong_samples=5))
    assert run_strong(fewer, monkeypatch) == 0
    assert len(calls) == 8 + 4
    found = strong_rows(tmp_path)
    assert found.height == 8
    assert set(found.filter(pl.col("attack_grid_radius") == 0.3)["num_samples"]) == {5}
    assert set(found.filter(pl.col("attack_grid_radius") == 0.5)["num_samples"]) == {8}
    every = replace(small, evaluation=replace(wide, strong_samples=10**9))
    assert run_strong(every, monkeypatch) == 0
    assert len(calls) == 12 + 4
    assert run_strong(every, monkeypatch) == 0  # 30 test samples are all that there are
    assert len(calls) == 16


def test_radius_without_records_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick_attacks(monkeypatch)
    small = config(tmp_path, evaluation=replace(QUICK, strong_grid_radii=[0.7]))
    for job in jobs(small):
        run_pack(job)
    assert run_strong(small, monkeypatch) == 2
    error = capsys.readouterr().err
    assert "strong_grid_radii=[0.7]" in error
    assert "0.3" in error


def test_rows_are_recorded_apart_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = quick_attacks(monkeypatch)
    small = config(tmp_path, evaluation=QUICK)
    for job in jobs(small):
        run_pack(job)
    monkeypatch.setattr(strong.compose, "compose", lambda argv: [replace(small)])
    assert strong.main([]) == 0
    files = sorted((tmp_path / "small" / "strong").glob("*.parquet"))
    rows = pl.concat([pl.read_parquet(path) for path in files])
    assert set(rows["attack"]) == {"autoattack-linf", "autoattack-l1"}
    assert rows.columns == list(schema.RECORD_COLUMNS)
    assert rows.height == 4
    assert set(rows["num_samples"]) == {8}
    assert len(calls) == 4
    assert strong.main([]) == 0
    assert len(calls) == 4


def test_kept_networks_are_attacked_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick_attacks(monkeypatch)
    small = config(tmp_path, evaluation=QUICK)
    for job in jobs(small):
        run_pack(job)
    trained: list[int] = []
    inner = train.train_pack

    def counted(net: MLP, *given: object) -> object:
        trained.append(net.num_networks)
        return inner(net, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "train_pack", counted)
    assert run_strong(small, monkeypatch) == 0
    assert trained == []
    before = strong_rows(tmp_path).drop("git_commit")
    for path in (tmp_path / "small" / "strong").iterdir():
        path.unlink()
    lost = min((tmp_path / "small" / "networks").iterdir())
    lost.unlink()
    assert run_strong(small, monkeypatch) == 0
    assert len(trained) == 1
    again = strong_rows(tmp_path).drop("git_commit")
    assert again.sort(again.columns).equals(before.sort(before.columns))


def test_rows_that_other_code_made_are_named_and_made_again_if_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = quick_attacks(monkeypatch)
    small = config(tmp_path, evaluation=QUICK)
    for job in jobs(small):
        run_pack(job)
    assert run_strong(small, monkeypatch) == 0
    today = fingerprint.of_strong("mlp-1x8")
    assert today is not None
    assert set(strong_rows(tmp_path)["evaluation_fingerprint"]) == {today}
    monkeypatch.setattr(fingerprint, "of_strong", lambda network: "0" * 12)
    capsys.readouterr()
    assert run_strong(small, monkeypatch) == 0
    assert "made 4 rows of strong attacks; they stay" in capsys.readouterr().err
    assert len(calls) == 4
    changed = replace(small, retrain="changed")
    assert run_strong(changed, monkeypatch) == 0
    assert len(calls) == 8
    assert set(strong_rows(tmp_path)["evaluation_fingerprint"]) == {"0" * 12}
    capsys.readouterr()
    assert run_strong(changed, monkeypatch) == 0
    assert "strong attacks" not in capsys.readouterr().err
    assert len(calls) == 8
