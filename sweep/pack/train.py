"""Train and evaluate one pack, in as many parts as the device's memory asks for.

Legend: P trials of the pack.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from robust import networks
from robust.evaluation.attack_batches import CHUNK_ROWS
from robust.networks import AnyPack
from robust.networks.linearization import Network
from robust.train import TrainResult, train
from robust.training.checkpoint import CheckpointFile
from robust.training.monitor import Monitor
from sweep.config.schema import Evaluation, Training
from sweep.datasets import DataOptions, Dataset, DatasetInfo
from sweep.datasets.values import Split
from sweep.grid.costs import costs_of
from sweep.grid.packing import Pack
from sweep.grid.rows import Row
from sweep.grid.trial import Trial
from sweep.pack import checkpoints, keep, monitor
from sweep.pack.assess import assess
from sweep.pack.outcome import Assessment, Outcome, PackOutcome
from sweep.pack.records import Origin
from sweep.results import store

OnStep = Callable[[int], None]

# What torch says of a full memory where it has no exception of its own.
_FULL = (
    *("can't allocate memory", "ALLOC_FAILED", "out of memory", "cudaErrorMemoryAllocation"),
    "HOST_ALLOCATION_FAILED",
)
# Errors after which CUDA refuses every further call of the process.
_LOST = (
    *("device-side assert", "illegal memory access", "unspecified launch failure"),
    *("misaligned address", "illegal instruction", "illegal address", "invalid program counter"),
    *("hardware stack error", "launch timed out", "launch timeout", "uncorrectable ECC"),
    *("uncorrectable NVLink", "cudaErrorAssert", "cudaErrorIllegalAddress"),
    *("cudaErrorLaunchFailure", "cudaErrorECCUncorrectable", "context is destroyed"),
)
_SMALLEST_CHUNK = 16  # inputs attacked at once: below, memory is full for another reason


@dataclass(frozen=True)
class Settings:
    """What a worker must know besides its pack."""

    results: str  # the folder of all experiments' results
    origin: Origin
    data: DataOptions
    evaluation: Evaluation
    training: Training
    device: str = "cpu"
    threads: int | None = None  # of this process; None leaves torch's choice
    checkpoint_seconds: float | None = None  # between checkpoints; None for none
    keep_networks: bool = False  # beside the records


def measure_within_memory(
    pack: Pack,
    data: Dataset,
    settings: Settings,
    rows: Sequence[Row],
    on_step: OnStep | None = None,
) -> PackOutcome:
    """Train and evaluate a pack; halve it for as long as it does not fit into memory."""
    try:
        return train_and_evaluate(pack, data, settings, rows, on_step)
    except Exception as error:
        if len(pack) == 1 or not out_of_memory(error):
            raise
    # Only here, outside of the block, are the tensors of what failed gone.
    release_memory(settings.device)
    first, second = (
        measure_within_memory(half, data, settings, rows, on_step) for half in pack.halves
    )
    return first + second


def measure_after_deaths(
    pack: Pack,
    data: Dataset,
    settings: Settings,
    rows: Sequence[Row],
    on_step: OnStep | None = None,
    deaths: int = 0,
) -> PackOutcome:
    """Train and evaluate a pack whose worker was killed so many times before, in parts.

    The kernel kills a process for its memory without a word, so every death that is not explained
    counts as one for memory: the pack is halved for each. Only after the first, a pack that has a
    checkpoint goes on from it as it is: it had room for its training until then.
    """
    checkpoint = _checkpoint(pack, settings)
    begun = checkpoint is not None and checkpoint.path.exists()
    if len(pack) == 1 or deaths == 0 or (deaths == 1 and begun):
        return measure_within_memory(pack, data, settings, rows, on_step)
    first, second = (
        measure_after_deaths(half, data, settings, rows, on_step, deaths - 1)
        for half in pack.halves
    )
    return first + second


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device's memory is full."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # Of these torch makes bare RuntimeErrors and AcceleratorErrors.
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _FULL)


def device_lost(error: BaseException) -> bool:
    """Whether an error says that this process can use its GPU no more, whatever it tries."""
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST)


def take_share(device: str, share: float) -> None:
    """Keep this process to its share of a GPU's memory, next to the others that use it."""
    if device != "cpu" and 0 < share < 1:
        torch.cuda.set_per_process_memory_fraction(share)


def release_memory(device: str) -> None:
    """Give freed blocks of memory back to the device."""
    if device != "cpu":
        torch.cuda.empty_cache()


def train_and_evaluate(
    pack: Pack,
    data: Dataset,
    settings: Settings,
    rows: Sequence[Row],
    on_step: OnStep | None = None,
) -> PackOutcome:
    """Train all networks of a pack in one program, and evaluate them on both splits."""
    first, device = pack.first, settings.device
    net = initial_networks(pack, data.info).to(device)
    watching = monitor.monitor(net, pack, data, settings.training)
    file = _checkpoint(pack, settings)
    result = train_pack(net, pack, data, settings, on_step, watching, file)
    if settings.keep_networks:
        where = store.Folder(Path(settings.results), settings.origin.experiment)
        keep.keep(net, pack, result.diverged_step, where, settings.data)
    started = time.perf_counter()
    assessed = assess_within_memory(net, first, data, settings, rows, result.diverged_step)
    evaluation_seconds = time.perf_counter() - started
    count = len(pack)
    observations = (
        ((),) * count if watching is None else watching.observations(result.diverged_step)
    )
    hashes = [
        weights_hash(net, p) if lost is None else None
        for p, lost in enumerate(result.diverged_step)
    ]
    trials = tuple(
        Outcome(
            assessed[p],
            diverged_step=result.diverged_step[p],
            trained_together=count,
            steps_per_second=count * first.steps / max(result.seconds, 1e-9),
            train_seconds=result.seconds / count,
            evaluation_seconds=evaluation_seconds / count,
            curve=tuple((step, values[p]) for step, values in result.curve),
            observations=observations[p],
            weights_hash=hashes[p],
        )
        for p in range(count)
    )
    return PackOutcome(trials, device_name(device), result.resumed_step, result.seconds_before)


def weights_hash(net: Network, index: int) -> str:
    """The hash of the parameters of one network of a pack, bit for bit."""
    digest = hashlib.sha256()
    for parameter in net.parameters():
        digest.update(parameter[index].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def assess_within_memory(
    net: Network,
    first: Trial,
    data: Dataset,
    settings: Settings,
    rows: Sequence[Row],
    diverged_step: Sequence[int | None],
    chunk: int | None = None,
) -> tuple[Assessment, ...]:
    """Evaluate a trained pack; with fewer networks and inputs at once while memory is full."""
    count, device = net.num_networks, settings.device
    try:
        return assess(net, first, data, settings.evaluation, rows, device, diverged_step, chunk)
    except Exception as error:
        chunk = (chunk or CHUNK_ROWS.get(device, CHUNK_ROWS["cpu"])) // 4
        if not out_of_memory(error) or (count == 1 and chunk < _SMALLEST_CHUNK):
            raise
    release_memory(device)
    assessed: list[Assessment] = []
    for part in (range(count // 2), range(count // 2, count)):
        if part:
            own = [diverged_step[p] for p in part]
            some = net.subset(part)
            assessed += assess_within_memory(some, first, data, settings, rows, own, chunk)
    return tuple(assessed)


def initial_networks(pack: Pack, info: DatasetInfo) -> AnyPack:
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
    checkpoint: CheckpointFile | None = None,
) -> TrainResult:
    """Train the networks of a pack in place; the same pack always becomes the same."""
    first, device = pack.first, settings.device
    x, y = on_device(data, "train", device)
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
        costs=costs_of(data.info, first.defense),
        loss=settings.training.loss,
        validation=on_device(data, "validation", device) if curve_every else None,
        curve_every=curve_every or first.steps,
        on_step=on_step,
        on_batch=watching,
        checkpoint=checkpoint,
        record=settings.training.cuda_graph,
        tf32=settings.training.tf32,
    )


def _checkpoint(pack: Pack, settings: Settings) -> CheckpointFile | None:
    if settings.checkpoint_seconds is None:
        return None
    where = store.Folder(Path(settings.results), settings.origin.experiment)
    return checkpoints.of_pack(where, pack, settings.training, settings.checkpoint_seconds)


# The data set that this process worked on last.
_held: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}
_held_data: list[Dataset] = []


def on_device(data: Dataset, split: str, device: str) -> tuple[Tensor, Tensor]:
    """Inputs and labels of a split on a device, where the last data set's stay."""
    if not _held_data or _held_data[0] is not data:
        _held.clear()
        _held_data[:] = [data]
    if (split, device) not in _held:
        part: Split = getattr(data, split)
        _held[split, device] = (
            torch.from_numpy(part.x).to(device),
            torch.from_numpy(part.y).to(device),
        )
    return _held[split, device]


@lru_cache(maxsize=1)
def device_name(device: str) -> str:
    """The name that records give a device."""
    return device if device == "cpu" else str(torch.cuda.get_device_name(device))
