from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sweep.datasets import DataOptions, loading
from sweep.datasets.sources import bundled
from sweep.datasets.values import RawData
from sweep.grid.packing import Pack
from sweep.pack import assess, run, train
from sweep.pack.run import Job, run_pack
from sweep.results import schema, store
from tests.sweep.helpers import config, dataset, jobs, one_job


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return one_job(config(tmp_path))


def accuracies(job: Job) -> dict[tuple[str, str, str, float], float | None]:
    """The recorded accuracy of each (trial, split, attack, radius)."""
    rows = pq.read_table(run.folder(job).records(job.pack.pack_id)).to_pylist()
    return {
        (row["trial_id"], row["split"], row["attack"], row["attack_grid_radius"]): row["accuracy"]
        for row in rows
    }


def test_pack_is_recorded_in_the_schema(job: Job) -> None:
    summary = run_pack(job)
    assert (summary.complete, summary.diverged, summary.failed) == (2, 0, 0)
    table = pq.read_table(run.folder(job).records(job.pack.pack_id))
    assert table.schema.equals(store.RECORDS)
    assert table.num_rows == 2 * len(schema.SPLITS) * 3 * 3
    first = table.slice(0, 1).to_pylist()[0]
    trial = job.pack.first
    for name in ("trial_id", "dataset", "defense", "train_radius", "learning_rate", "steps"):
        assert first[name] == getattr(trial, name)
    assert first["status"] == "complete"
    assert first["pack_size"] == 2
    assert first["num_samples"] == 10


@pytest.mark.parametrize("defense", ["nominal", "arub-l1", "rub"])
def test_residual_networks_are_trained_attacked_and_certified(
    tmp_path: Path, defense: str
) -> None:
    small = config(tmp_path)
    grid = replace(small.grid, network=["resmlp-1x8"], defense=[defense], learning_rate=[1e-2])
    job = one_job(replace(small, grid=grid), defense)
    assert run_pack(job).complete == 1
    kept = {key[1:]: value for key, value in accuracies(job).items() if key[1] == "test"}
    for radius in (0.0, 0.1, 0.5):
        proven = kept["test", "certified-l1", radius]
        attacked = kept["test", "fgm-l1", radius]
        assert proven is not None and attacked is not None
        assert proven <= attacked


def test_attack_radii_are_true_radii_of_each_norm(job: Job) -> None:
    run_pack(job)
    rows = pq.read_table(run.folder(job).records(job.pack.pack_id)).to_pylist()
    factor = {"l1": 2.0, "linf": 1.0}  # iris has four features
    assert {row["attack_norm"] for row in rows} == set(factor)
    for row in rows:
        expected = row["attack_grid_radius"] * factor[row["attack_norm"]]
        assert row["attack_radius"] == pytest.approx(expected)


def test_trial_has_the_same_records_alone_and_in_a_pack(job: Job) -> None:
    run_pack(job)
    together = accuracies(job)
    for trial in job.pack.trials:
        alone = replace(job, pack=Pack((trial,)))
        run_pack(alone)
        for key, value in accuracies(alone).items():
            assert value == pytest.approx(together[key], abs=1e-12)


def test_curve_has_each_trial_at_each_asked_step(job: Job) -> None:
    run_pack(job)
    rows = pq.read_table(run.folder(job).curves(job.pack.pack_id)).to_pylist()
    ids = {trial.trial_id for trial in job.pack.trials}
    assert {(row["trial_id"], row["step"]) for row in rows} == {
        (i, s) for i in ids for s in (2, 3)
    }
    assert all(0 <= row["value"] <= 1 for row in rows)


def test_diverged_trial_has_null_accuracies_and_the_others_go_on(tmp_path: Path) -> None:
    small = config(tmp_path)
    wild = config(
        tmp_path,
        grid=replace(small.grid, defense=["nominal"], learning_rate=[1e30, 1e-3]),
        training=replace(small.training, steps=20),
    )
    job = one_job(wild, "nominal")
    summary = run_pack(job)
    assert (summary.complete, summary.diverged) == (1, 1)
    lost, kept = job.pack.trials
    found = accuracies(job)
    assert {value for key, value in found.items() if key[0] == lost.trial_id} == {None}
    assert None not in {value for key, value in found.items() if key[0] == kept.trial_id}
    rows = pq.read_table(run.folder(job).records(job.pack.pack_id)).to_pylist()
    steps = {row["trial_id"]: row["diverged_step"] for row in rows}
    assert steps[lost.trial_id] >= 1
    assert steps[kept.trial_id] is None


def test_failure_is_recorded_in_one_line_with_a_traceback_beside(job: Job) -> None:
    first = replace(job.pack.first, dataset_hash="other data")
    broken = replace(job, pack=Pack((first,)))
    summary = run_pack(broken)
    assert summary.failed == 1
    rows = pq.read_table(run.folder(broken).records(broken.pack.pack_id)).to_pylist()
    assert {row["status"] for row in rows} == {"failed"}
    assert {row["accuracy"] for row in rows} == {None}
    assert "other data" in rows[0]["error"]
    assert "\n" not in rows[0]["error"]
    log = run.folder(broken).logs / f"{broken.pack.pack_id}.txt"
    assert "Traceback" in log.read_text()


def test_full_disk_is_reported_and_not_raised(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_pack", no_room)
    summary = run_pack(job)
    assert summary.unwritten is not None
    assert "No space left" in summary.unwritten
    assert run.folder(job).record_files() == []


def test_sample_is_the_same_for_every_trial_and_within_the_split() -> None:
    chosen = assess.sample(100, 10, "hash", "test")
    assert len(set(chosen.tolist())) == 10
    assert chosen.min() >= 0 and chosen.max() < 100
    assert chosen.tolist() == assess.sample(100, 10, "hash", "test").tolist()
    assert chosen.tolist() != assess.sample(100, 10, "hash", "validation").tolist()
    assert assess.sample(5, 10, "hash", "test").tolist() == list(range(5))


def test_simulated_records_are_marked(tmp_path: Path) -> None:
    job = one_job(config(tmp_path, simulate=True))
    run_pack(job)
    table = pq.read_table(run.folder(job).records(job.pack.pack_id))
    assert set(table["simulated"].to_pylist()) == {True}


def test_packs_that_share_a_data_set_read_and_move_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    whole = bundled.read

    def counted(name: str, options: DataOptions) -> RawData:
        reads.append(name)
        return whole(name, options)

    monkeypatch.setattr(bundled, "read", counted)
    for function in (loading.read_raw, loading._measured, loading.load):
        function.cache_clear()
    held = []
    for pack in jobs(config(tmp_path)):
        assert run_pack(pack).failed == 0
        held.append(train.on_device(dataset(config(tmp_path)), "train", "cpu")[0])
    assert len(held) == 2
    assert held[0] is held[1]
    assert reads == ["iris"]


def test_other_data_take_the_place_of_the_last(tmp_path: Path) -> None:
    iris = dataset(config(tmp_path))
    wine = dataset(config(tmp_path, grid=replace(config().grid, dataset=["wine"])))
    for data in (iris, wine, iris):
        x, y = train.on_device(data, "test", "cpu")
        assert x.numpy().tolist() == data.test.x.tolist()
        assert y.tolist() == data.test.y.tolist()
    assert set(train._held) == {("test", "cpu")}
