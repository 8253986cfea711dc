"""Run one pack: load its data, train, evaluate, write its records. Knows nothing of Ray.

Legend: P trials of the pack, R attack radii, D input features.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robust import networks
from robust.monitor import Monitor
from robust.networks import CNN, MLP
from robust.networks.linearization import Network
from robust.train import TrainResult, train
from sweep import datasets, observe, records, simulate, store
from sweep.config import Evaluation, Training
from sweep.datasets import DataOptions, Dataset, DatasetInfo
from sweep.evaluation import assess
from sweep.packing import Pack
from sweep.records import Measured, Origin

OnStep = Callable[[int], None]


@dataclass(frozen=True)
class Settings:
    """What a worker must know beside its pack."""

    results: str  # the folder of all experiments' results
    origin: Origin
    data: DataOptions
    evaluation: Evaluation
    training: Training
    device: str = "cpu"
    threads: int | None = None  # of this process; None leaves torch's choice


@dataclass(frozen=True)
class Job:
    """A pack and everything needed to run it in another process."""

    pack: Pack
    info: DatasetInfo
    settings: Settings


@dataclass(frozen=True)
class Summary:
    """What became of a pack."""

    pack_id: str
    dataset: str
    network: str
    defense: str
    trials: int
    complete: int
    diverged: int
    failed: int
    train_seconds: float
    evaluation_seconds: float
    seconds: float  # all of it: also loading data and writing records
    device: str
    error: str | None = None  # of failed trials
    unwritten: str | None = None  # why the records could not be written


def run_pack(job: Job, on_step: OnStep | None = None) -> Summary:
    """Run a pack and write its records; whatever goes wrong inside is recorded, not raised.

    Args:
        job: the pack, its data set and the settings.
        on_step: called with the number of the training step just made.

    Returns:
        How it went. Unless it says `unwritten`, the pack's records are on disk.
    """
    started = time.perf_counter()
    if job.settings.threads is not None:
        torch.set_num_threads(job.settings.threads)
    try:
        return _run_and_write(job, on_step, started)
    except OSError as error:
        return _finish(job, started, failed=len(job.pack), unwritten=one_line(error))


def _run_and_write(job: Job, on_step: OnStep | None, started: float) -> Summary:
    try:
        measured = _measure(job, on_step)
    except Exception as exception:  # one pack's failure must not stop the sweep
        return record_failure(job, one_line(exception), traceback.format_exc(), started)
    pack, settings = job.pack, job.settings
    store.write_pack(
        folder(job),
        pack.pack_id,
        records.build_records(pack, job.info, settings.evaluation, settings.origin, measured),
        records.build_curves(pack, settings.origin, measured),
    )
    status = measured.status
    return _finish(
        job,
        started,
        complete=status.count("complete"),
        diverged=status.count("diverged"),
        failed=status.count("failed"),
        error=next((problem for problem in measured.problems if problem is not None), None),
        train_seconds=sum(measured.train_seconds),
        evaluation_seconds=sum(measured.evaluation_seconds),
        device=measured.device,
    )


def record_failure(job: Job, error: str, details: str, started: float | None = None) -> Summary:
    """Record every trial of a pack as failed; the traceback goes to a file of its own."""
    pack, settings = job.pack, job.settings
    log = folder(job).logs / f"{pack.pack_id}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(details, encoding="utf-8")
    table = records.build_failed_records(
        pack, job.info, settings.evaluation, settings.origin, error
    )
    store.write_table(folder(job).records(pack.pack_id), table)
    started = time.perf_counter() if started is None else started
    return _finish(job, started, failed=len(pack), error=error)


def folder(job: Job) -> store.Folder:
    """Where the job's records go."""
    return store.Folder(Path(job.settings.results), job.settings.origin.experiment)


def one_line(exception: BaseException) -> str:
    """An exception's type and message without line breaks."""
    return " ".join(f"{type(exception).__name__}: {exception}".split())


def _finish(
    job: Job,
    started: float,
    *,
    complete: int = 0,
    diverged: int = 0,
    failed: int = 0,
    train_seconds: float = 0.0,
    evaluation_seconds: float = 0.0,
    device: str = "unknown",
    error: str | None = None,
    unwritten: str | None = None,
) -> Summary:
    first = job.pack.first
    return Summary(
        pack_id=job.pack.pack_id,
        dataset=first.dataset,
        network=first.network,
        defense=first.defense,
        trials=len(job.pack),
        complete=complete,
        diverged=diverged,
        failed=failed,
        train_seconds=train_seconds,
        evaluation_seconds=evaluation_seconds,
        seconds=time.perf_counter() - started,
        device=device,
        error=error,
        unwritten=unwritten,
    )


def _measure(job: Job, on_step: OnStep | None) -> Measured:
    if job.settings.origin.simulated:
        return simulate.measure(job.pack, job.info, job.settings.evaluation)
    data = datasets.load(
        job.pack.first.dataset,
        job.pack.first.scaling,
        job.settings.data,
        job.pack.first.split_seed,
    )
    if data.info.hash != job.pack.first.dataset_hash:
        raise ValueError(
            f"data set {data.info.name!r} has hash {data.info.hash} here and "
            f"{job.pack.first.dataset_hash} where the sweep was planned"
        )
    return measure_within_memory(job.pack, data, job.settings, on_step)


def measure_within_memory(
    pack: Pack, data: Dataset, settings: Settings, on_step: OnStep | None = None
) -> Measured:
    """Train and evaluate a pack; halve it for as long as it does not fit into memory."""
    try:
        return train_and_evaluate(pack, data, settings, on_step)
    except (torch.OutOfMemoryError, MemoryError):
        if len(pack) == 1:
            raise
    if settings.device != "cpu":
        torch.cuda.empty_cache()
    half = len(pack) // 2
    return records.join(
        measure_within_memory(Pack(pack.trials[:half]), data, settings, on_step),
        measure_within_memory(Pack(pack.trials[half:]), data, settings, on_step),
    )


def train_and_evaluate(
    pack: Pack, data: Dataset, settings: Settings, on_step: OnStep | None = None
) -> Measured:
    """Train all networks of a pack in one program, and evaluate them on both splits."""
    first, device = pack.first, settings.device
    net = initial_networks(pack, data.info).to(device)
    watching = observe.monitor(net, pack, data, settings.training)
    result = train_pack(net, pack, data, settings, on_step, watching)
    started = time.perf_counter()
    assessed = assess(net, first, data, settings.evaluation, device, result.diverged_step)
    evaluation_seconds = time.perf_counter() - started
    count = len(pack)
    return Measured(
        diverged_step=tuple(result.diverged_step),
        accuracy=assessed.accuracy,
        num_samples=assessed.num_samples,
        trained_together=(count,) * count,
        steps_per_second=(count * first.steps / max(result.seconds, 1e-9),) * count,
        train_seconds=(result.seconds / count,) * count,
        evaluation_seconds=(evaluation_seconds / count,) * count,
        flags=assessed.flags,
        problems=assessed.problems,
        observations=(
            ((),) * count if watching is None else watching.observations(result.diverged_step)
        ),
        curve=result.curve,
        device=device_name(device),
    )


def initial_networks(pack: Pack, info: DatasetInfo) -> MLP | CNN:
    """The untrained networks of a pack, on the CPU."""
    first = pack.first
    return networks.build(
        first.network,
        info.num_features,
        info.num_classes,
        len(pack),
        first.seed,
        input_shape=info.input_shape,
    )


def train_pack(
    net: Network,
    pack: Pack,
    data: Dataset,
    settings: Settings,
    on_step: OnStep | None = None,
    watching: Monitor | None = None,
) -> TrainResult:
    """Train the networks of a pack in place; the same pack always becomes the same."""
    first, device = pack.first, settings.device
    x, y = _tensors(data.train.x, data.train.y, device)
    radius = torch.tensor([trial.train_radius for trial in pack.trials], device=device)
    learning_rate = torch.tensor([trial.learning_rate for trial in pack.trials], device=device)
    curve_every = settings.training.curve_every
    return train(
        net,
        x,
        y,
        defense=first.defense,
        radius=radius,
        learning_rate=learning_rate,
        batch_size=min(first.batch_size, len(y)),
        steps=first.steps,
        seed=first.seed,
        bounds=data.bounds,
        loss=settings.training.loss,
        validation=_tensors(data.validation.x, data.validation.y, device) if curve_every else None,
        curve_every=curve_every or first.steps,
        on_step=on_step,
        on_batch=watching,
    )


def _tensors(x: NDArray[np.float32], y: NDArray[np.int64], device: str) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)


@lru_cache(maxsize=1)
def device_name(device: str) -> str:
    """The name that records give a device."""
    return device if device == "cpu" else str(torch.cuda.get_device_name(device))
