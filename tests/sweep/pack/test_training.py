"""Packs that are killed, and packs that do not fit into memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from robust import defenses
from robust.defenses.nominal import Nominal
from robust.numerics import recording
from robust.training.optimizer import PackedAdam
from sweep.config.schema import Paths
from sweep.grid.packing import Pack, make_packs
from sweep.pack import checkpoints, run
from sweep.pack import train as training
from sweep.pack.run import Job, run_pack
from sweep.pack.train import out_of_memory
from sweep.results import fingerprint
from tests.robust.tape import TapeRecorder
from tests.sweep.helpers import config, dataset, jobs, one_job

STEPS = 8

# Runs the pack of one defense in the given folder and dies after a step, as if by the kernel.
KILLED = """
import math, os, signal, sys
from pathlib import Path
from robust.training import checkpoint
from sweep.pack.run import run_pack
from tests.sweep.pack.test_training import job
checkpoint.COST = math.inf
defense, results, step = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
die = lambda finished: os.kill(os.getpid(), signal.SIGKILL) if finished == step else None
run_pack(job(results, defense), die)
"""

TIMINGS = {"train_seconds", "evaluation_seconds", "train_steps_per_second"}


def job(results: Path, defense: str) -> Job:
    """A pack of two that writes a checkpoint after every step."""
    small = config(
        results,
        grid=replace(config().grid, defense=[defense]),
        training=replace(config().training, steps=STEPS, curve_every=2, trace_every=3),
        checkpoint=replace(config().checkpoint, every_seconds=1e-9),
    )
    return one_job(small, defense)


def tables(of: Job) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """A pack's records and curves, without what a clock measured."""
    folder, pack_id = run.folder(of), of.pack.pack_id
    both = (pq.read_table(path(pack_id)).to_pylist() for path in (folder.records, folder.curves))
    records, curves = (
        [{k: v for k, v in row.items() if k not in TIMINGS} for row in rows] for rows in both
    )
    return records, curves


def kill_after(step: int, results: Path, defense: str) -> None:
    command = [sys.executable, "-c", KILLED, defense, str(results), str(step)]
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


def checkpoint_files(of: Job) -> list[Path]:
    return sorted((run.folder(of).path / "checkpoints").glob("*"))


@pytest.mark.parametrize("defense", ["arub-linf", "pgd-linf"])
def test_killed_pack_goes_on_and_records_the_same_bit_for_bit(
    defense: str, tmp_path: Path
) -> None:
    undisturbed = job(tmp_path / "undisturbed", defense)
    run_pack(undisturbed)
    results = tmp_path / "killed"
    for step in (3, 6):
        kill_after(step, results, defense)
    killed = job(results, defense)
    assert [path.name for path in checkpoint_files(killed)] == [f"{killed.pack.pack_id}.pt"]
    finished: list[int] = []
    summary = run_pack(killed, finished.append)
    assert finished == [7, 8]
    assert summary.resumed_step == 6
    assert summary.seconds > summary.train_seconds + summary.evaluation_seconds > 0
    assert tables(killed) == tables(undisturbed)
    assert checkpoint_files(killed) == []


def test_no_checkpoint_is_written_where_they_are_off(tmp_path: Path) -> None:
    quiet = job(tmp_path, "nominal")
    quiet = replace(quiet, settings=replace(quiet.settings, checkpoint_seconds=None))
    assert seen_while_running(quiet) == set()


def test_checkpoint_is_there_while_a_pack_trains_and_not_after(tmp_path: Path) -> None:
    busy = job(tmp_path, "nominal")
    assert seen_while_running(busy) == {f"{busy.pack.pack_id}.pt"}
    assert checkpoint_files(busy) == []


def seen_while_running(of: Job) -> set[str]:
    """The names of checkpoints that are there after any step."""
    seen: set[str] = set()
    run_pack(of, lambda step: seen.update(path.name for path in checkpoint_files(of)))
    return seen


def interrupted(of: Job) -> None:
    """Leave a pack's checkpoint behind."""
    with pytest.raises(KeyboardInterrupt):
        run_pack(of, stop)
    assert checkpoint_files(of)


def stop(step: int) -> None:
    raise KeyboardInterrupt


def test_checkpoint_of_other_training_options_is_ignored(tmp_path: Path) -> None:
    before = job(tmp_path, "nominal")
    interrupted(before)
    other = replace(before.settings.training, bound_checks=1.0)
    after = replace(before, settings=replace(before.settings, training=other))
    assert run_pack(after).resumed_step == 0


def test_checkpoint_of_other_code_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = job(tmp_path, "nominal")
    interrupted(begun)
    monkeypatch.setattr(fingerprint, "of_training", lambda defense, network: "0" * 12)
    assert run_pack(begun).resumed_step == 0


def test_begun_packs_stay_as_they_are_when_the_rest_is_cut_anew(tmp_path: Path) -> None:
    small = config(tmp_path, packing=replace(config().packing, max_trials=1))
    one = replace(
        jobs(small)[0],
        settings=replace(jobs(small)[0].settings, checkpoint_seconds=1e-9),
    )
    interrupted(one)
    anew = [made.pack for made in jobs(config(tmp_path))]
    assert one.pack.pack_id in {pack.pack_id for pack in anew}
    trials = [trial.trial_id for pack in anew for trial in pack.trials]
    assert len(trials) == len(set(trials)) == 4
    run_pack(one)
    assert checkpoint_files(one) == []


def test_begun_pack_is_cut_anew_once_a_trial_of_it_is_finished(tmp_path: Path) -> None:
    pack = job(tmp_path, "nominal").pack
    begun = [[trial.trial_id for trial in pack.trials]]
    left = make_packs(pack.trials[1:], max_trials=10, cost=lambda _: 1.0, begun=begun)
    assert [p.trials for p in left] == [pack.trials[1:]]


def test_checkpoints_without_use_are_removed_and_all_others_kept(tmp_path: Path) -> None:
    wanted, stale = job(tmp_path, "nominal"), job(tmp_path, "arub-linf")
    interrupted(wanted)
    interrupted(stale)
    damaged = checkpoint_files(wanted)[0].with_name("damaged.pt")
    damaged.write_bytes(b"no checkpoint")
    (damaged.parent / "folder.pt").mkdir()
    finished = {stale.pack.trials[1].trial_id}
    assert checkpoints.remove_stale(run.folder(wanted), finished) == 2
    (damaged.parent / "folder.pt").rmdir()
    assert [path.stem for path in checkpoint_files(wanted)] == [wanted.pack.pack_id]
    assert checkpoints.begun(run.folder(wanted)) == [
        [trial.trial_id for trial in wanted.pack.trials]
    ]


def test_command_for_a_part_leaves_the_checkpoints_of_the_others(tmp_path: Path) -> None:
    from sweep.driver import driver

    begun = job(tmp_path, "nominal")
    interrupted(begun)
    small = config(tmp_path, debug=True, grid=replace(config().grid, defense=["arub-linf"]))
    assert driver.sweep([small]).failed == 0
    assert [path.stem for path in checkpoint_files(begun)] == [begun.pack.pack_id]


@pytest.mark.parametrize(("deaths", "together"), [(0, 4), (1, 2), (2, 1), (9, 1)])
def test_pack_is_halved_for_every_death_of_its_worker(
    deaths: int, together: int, tmp_path: Path
) -> None:
    small = config(tmp_path, grid=replace(config().grid, learning_rate=[1e-1, 1e-2, 1e-3, 1e-4]))
    pack, whole = one_job(small), one_job(replace(small, paths=Paths(str(tmp_path / "whole"))))
    for _ in range(deaths):
        checkpoints.add_death(run.folder(pack), pack.pack)
    summary = run_pack(pack)
    assert (summary.complete, summary.trained_together) == (4, together)
    run_pack(whole)
    for table in zip(*(tables(of)[0] for of in (pack, whole)), strict=True):
        first, second = table
        assert first["accuracy"] == pytest.approx(second["accuracy"], abs=1e-12)
    assert checkpoints.deaths(run.folder(pack), pack.pack) == 0
    assert checkpoint_files(pack) == []


def test_pack_goes_on_whole_from_its_checkpoint_after_one_death_and_not_after_two(
    tmp_path: Path,
) -> None:
    begun = job(tmp_path, "nominal")
    for deaths, (resumed, together) in {1: (1, 2), 2: (0, 1)}.items():
        begun = replace(
            begun, settings=replace(begun.settings, results=str(tmp_path / f"{deaths}"))
        )
        interrupted(begun)
        for _ in range(deaths):
            checkpoints.add_death(run.folder(begun), begun.pack)
        summary = run_pack(begun)
        assert (summary.resumed_step, summary.trained_together) == (resumed, together)


def test_damaged_count_of_deaths_is_one(tmp_path: Path) -> None:
    of = job(tmp_path, "nominal")
    checkpoints.add_death(run.folder(of), of.pack)
    checkpoint_files(of)[0].write_text("")
    assert checkpoints.deaths(run.folder(of), of.pack) == 1


def failing(name: str, problem: Callable[[], Exception], largest: int) -> Callable[..., object]:
    """A function of `training` that fails for more than so many networks."""
    whole: Callable[..., object] = getattr(training, name)

    def call(first: object, *rest: object, **options: object) -> object:
        count = len(first) if isinstance(first, Pack) else first.num_networks  # type: ignore[attr-defined]
        if count > largest:
            raise problem()
        return whole(first, *rest, **options)

    return call


PROBLEMS = {
    "cuda": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "python": MemoryError,
    "cpu": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"),
    "cudnn": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    # What a call that torch's allocator does not make says: another class, another text.
    "driver": lambda: torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors"),
    "hip": lambda: RuntimeError("HIP out of memory. Tried to allocate 2 GiB"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("where", ["train", "assess"])
def test_pack_that_does_not_fit_is_halved(
    problem: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = config(tmp_path)
    job = one_job(small)
    pack, settings, rows = job.pack, job.settings, job.rows
    whole = training.train_and_evaluate(pack, dataset(small), settings, rows)
    monkeypatch.setattr(training, where, failing(where, PROBLEMS[problem], 1))
    halves = training.measure_within_memory(pack, dataset(small), settings, rows)
    # What only evaluation has no room for is not trained again.
    together = 1 if where == "train" else 2
    for half, own in zip(halves.trials, whole.trials, strict=True):
        assert half.trained_together == together
        assert half.diverged_step == own.diverged_step
        assert half.assessment.flags == own.assessment.flags
        assert [step for step, _ in half.curve] == [step for step, _ in own.curve]
        for key, values in own.assessment.accuracy.items():
            np.testing.assert_allclose(half.assessment.accuracy[key], values, atol=1e-12)


def test_defense_that_runs_out_of_memory_is_recorded_complete_in_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hungry(self: Nominal, net: object, *rest: object) -> torch.Tensor:
        if net.num_networks > 1:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("CUDA out of memory")
        return losses(self, net, *rest)  # type: ignore[arg-type]

    losses = Nominal.example_losses
    monkeypatch.setattr(Nominal, "example_losses", hungry)
    assert isinstance(defenses.get("nominal"), Nominal)
    of = job(tmp_path, "nominal")
    summary = run_pack(of)
    assert (summary.complete, summary.failed) == (2, 0)
    assert summary.trained_together == 1
    assert checkpoint_files(of) == []


def test_single_network_that_does_not_fit_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", failing("train", PROBLEMS["cuda"], 0))
    of = job(tmp_path, "nominal")
    summary = run_pack(of)
    assert summary.failed == 2
    assert summary.error is not None
    assert "out of memory" in summary.error


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    assert not out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not out_of_memory(OSError(28, "No space left on device"))
    assert not out_of_memory(ValueError("grid.seed=1: the list runs out of memory's reach"))
    assert not any(out_of_memory(lost()) for lost in LOST.values())


LOST = {
    "assert": lambda: torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA"),
    "access": lambda: torch.AcceleratorError("CUDA error: an illegal memory access was met"),
    "launch": lambda: RuntimeError("CUDA error: unspecified launch failure"),
    "ecc": lambda: RuntimeError("CUDA error: uncorrectable ECC error encountered"),
}


@pytest.mark.parametrize("problem", LOST)
def test_process_whose_gpu_failed_leaves_its_pack_to_another(
    problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = job(tmp_path, "nominal")
    monkeypatch.setattr(training, "train", failing("train", LOST[problem], 0))
    with pytest.raises(run.DeviceLostError, match="CUDA error") as caught:
        run_pack(of, leave_lost_device=True)
    assert "\n" not in str(caught.value)
    assert not run.folder(of).records(of.pack.pack_id).exists()
    # Where no other process can take it, it is recorded as any other failure.
    assert run_pack(of).failed == 2


@pytest.mark.parametrize("name", [*PROBLEMS, "other"])
def test_other_failures_do_not_end_the_process(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = PROBLEMS.get(name, lambda: RuntimeError("mat1 and mat2 shapes"))
    monkeypatch.setattr(training, "train", failing("train", problem, 0))
    assert run_pack(job(tmp_path, "nominal"), leave_lost_device=True).failed == 2


@pytest.mark.parametrize(
    ("device", "share", "taken"),
    [("cuda", 0.5, [0.5]), ("cuda", 0.25, [0.25]), ("cuda", 1.0, []), ("cpu", 0.0, [])],
)
def test_process_takes_its_share_of_a_gpus_memory(
    device: str, share: float, taken: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", found.append)
    training.take_share(device, share)
    assert found == taken


def test_checkpoint_whose_state_does_not_fit_does_not_block_its_pack(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    undisturbed = job(tmp_path / "undisturbed", "pgd-linf")
    run_pack(undisturbed)
    blocked = job(tmp_path / "blocked", "pgd-linf")
    interrupted(blocked)
    (path,) = checkpoint_files(blocked)
    whole = torch.load(path, weights_only=True)
    # The state of a CUDA generator: sixteen bytes where a CPU's has 5056.
    whole["state"]["generator"] = torch.zeros(16, dtype=torch.uint8)
    torch.save(whole, path)
    summary = run_pack(blocked)
    assert (summary.complete, summary.resumed_step) == (2, 0)
    assert [record.message.count("\n") for record in caplog.records] == [0]
    assert "is ignored" in caplog.text
    assert tables(blocked) == tables(undisturbed)
    assert checkpoint_files(blocked) == []


def test_recorded_steps_give_the_same_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def recorder(generator: torch.Generator) -> TapeRecorder:
        made.append(TapeRecorder(generator))
        return made[-1]

    monkeypatch.setitem(recording.RECORDERS, "cpu", recorder)
    monkeypatch.setattr(PackedAdam, "_step_each", PackedAdam._step_pack)
    anew = job(tmp_path / "anew", "pgd-linf")
    again = job(tmp_path / "again", "pgd-linf")
    training = replace(again.settings.training, cuda_graph=True)
    again = replace(again, settings=replace(again.settings, training=training))
    run_pack(anew)
    assert not made
    run_pack(again)
    assert len(made) == 1
    assert tables(anew) == tables(again)
