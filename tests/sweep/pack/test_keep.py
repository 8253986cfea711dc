"""Weights are kept before the records that speak of them, and of sound networks only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch

from robust import networks
from robust.predictor import PREPROCESSING, Predictor
from robust.preprocessing import Preprocessing
from sweep import datasets
from sweep.config.schema import Keep
from sweep.datasets import DataOptions
from sweep.driver import driver
from sweep.pack import train
from sweep.pack.run import run_pack
from sweep.results import store, weights
from tests.sweep.helpers import config, dataset, one_job

TIMES = ["train_steps_per_second", "train_seconds", "evaluation_seconds"]


def kept_files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "small" / "networks").glob("*"))


def records(root: Path) -> pl.DataFrame:
    files = sorted((root / "small" / "records").glob("*.parquet"))
    return pl.concat([pl.read_parquet(path) for path in files]).drop(TIMES)


def test_kept_networks_are_those_of_the_records(tmp_path: Path) -> None:
    small = config(tmp_path)
    job = one_job(small)
    run_pack(job)
    assert kept_files(tmp_path) == [f"{job.pack.pack_id}.safetensors"]
    ids = [trial.trial_id for trial in job.pack.trials]
    kept = weights.load(tmp_path, ids)
    data = dataset(small)
    again = train.initial_networks(job.pack, data.info)
    train.train_pack(again, job.pack, data, job.settings)
    assert all(map(torch.equal, kept.parameters(), again.parameters()))


def test_header_says_what_the_inputs_were(tmp_path: Path) -> None:
    small = config(tmp_path)
    job = one_job(small)
    run_pack(job)
    path = weights.path_of(store.Folder(tmp_path, "small"), job.pack.pack_id)
    texts = networks.read_metadata(path)
    assert (texts["dataset"], texts["scaling"]) == ("iris", "standardized")
    rule = Preprocessing.from_text(texts[PREPROCESSING])
    assert len(rule.classes) == 3
    raw, split = datasets.raw_and_split("iris", DataOptions("bundled"), 0)
    x = torch.tensor(dataset(small).test.x)
    torch.testing.assert_close(Predictor.load(path, 1).inputs(raw.x[split.test]), x)


def test_diverged_networks_are_not_kept(tmp_path: Path) -> None:
    small = config(tmp_path)
    small = replace(small, grid=replace(small.grid, learning_rate=[1e30, 1e-3]))
    job = one_job(small)
    summary = run_pack(job)
    assert summary.diverged == 1
    sound = [trial.trial_id for trial in job.pack.trials if trial.learning_rate < 1]
    assert list(weights.find(tmp_path)) == sound


@pytest.mark.parametrize("choice", ["none", "simulated"])
def test_nothing_is_kept_where_nothing_is_to_be(choice: str, tmp_path: Path) -> None:
    small = config(tmp_path, simulate=choice == "simulated")
    run_pack(one_job(small if small.simulate else replace(small, keep=Keep("none"))))
    assert kept_files(tmp_path) == []


def test_halves_of_a_pack_are_kept_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = train.train_and_evaluate

    def small_memory(pack: object, *rest: object) -> object:
        if len(pack) > 1:  # type: ignore[arg-type]
            raise MemoryError
        return inner(pack, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(train, "train_and_evaluate", small_memory)
    job = one_job(config(tmp_path))
    run_pack(job)
    assert len(kept_files(tmp_path)) == 2
    assert set(weights.find(tmp_path)) == {trial.trial_id for trial in job.pack.trials}


def killed(*given: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("cut", ["as before", "anew"])
def test_death_between_weights_and_records_leaves_no_trace(
    cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = config(tmp_path / "killed", debug=True)
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_pack", killed)
        with pytest.raises(KeyboardInterrupt):
            driver.sweep([small])
    (orphan,) = kept_files(tmp_path / "killed")
    assert not (tmp_path / "killed" / "small" / "records").exists()
    if cut == "anew":
        small = replace(small, packing=replace(small.packing, max_trials=1))
    whole = config(tmp_path / "whole", debug=True, packing=small.packing)
    for each in (small, whole):
        driver.sweep([each])
    assert kept_files(tmp_path / "killed") == kept_files(tmp_path / "whole")
    assert (orphan in kept_files(tmp_path / "killed")) == (cut == "as before")
    assert records(tmp_path / "killed").equals(records(tmp_path / "whole"))
    for name in kept_files(tmp_path / "whole"):
        assert stamp(tmp_path / "killed", name)[1] == stamp(tmp_path / "whole", name)[1]


def test_sweep_deletes_weights_of_which_nothing_is_recorded(tmp_path: Path) -> None:
    small = config(tmp_path, debug=True)
    driver.sweep([small])
    before = {name: stamp(tmp_path, name) for name in kept_files(tmp_path)}
    net = networks.build("mlp-1x8", 4, 3, 1, 0)
    weights.write(store.Folder(tmp_path, "small"), "orphan", net, ["0" * 16])
    driver.sweep([small])
    assert {name: stamp(tmp_path, name) for name in kept_files(tmp_path)} == before


def stamp(root: Path, name: str) -> tuple[int, bytes]:
    path = root / "small" / "networks" / name
    return path.stat().st_mtime_ns, path.read_bytes()


def full(*given: object) -> None:
    raise OSError(28, "No space left on device")


def test_full_disk_is_no_fault_of_the_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = one_job(config(tmp_path))
    monkeypatch.setattr(weights, "write", full)
    summary = run_pack(job)
    assert summary.unwritten is not None
    assert "No space left on device" in summary.unwritten
    assert summary.error is None
    assert not (tmp_path / "small" / "records").exists()


Change = Callable[[Path], object]


def flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 8
    path.write_bytes(whole)


@pytest.mark.parametrize("change", [flipped, Path.unlink])
def test_records_stay_where_weights_are_lost(change: Change, tmp_path: Path) -> None:
    small = config(tmp_path, debug=True)
    driver.sweep([small])
    before = records(tmp_path)
    for path in (tmp_path / "small" / "networks").iterdir():
        change(path)
    driver.sweep([small])
    assert records(tmp_path).equals(before)
