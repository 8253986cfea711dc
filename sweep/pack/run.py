"""Run one pack: load its data, measure, write its records. Knows nothing of Ray."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from sweep import datasets, files, output
from sweep.datasets import DatasetInfo
from sweep.errors import DamagedError
from sweep.grid.packing import Pack
from sweep.grid.rows import Row
from sweep.hashing import content_hash
from sweep.pack import added, checkpoints, records, simulate
from sweep.pack.keep import UnwrittenWeightsError
from sweep.pack.outcome import Assessment, Outcome, PackOutcome, failed_pack
from sweep.pack.train import OnStep, Settings, device_lost, measure_after_deaths
from sweep.results import store
from sweep.results.store import FAILED
from sweep.results.weights import Index


@dataclass(frozen=True)
class Job:
    """A pack and everything needed to run it in another process.

    Attributes:
        pack: the trials.
        info: of their data set.
        settings: what else a worker must know.
        rows: to be recorded of each trial.
        recorded: the file that holds records of a trial's training, of trials that were trained
            before.
        weights: where the kept networks lie; None where all are to be trained.
    """

    pack: Pack
    info: DatasetInfo
    settings: Settings
    rows: tuple[Row, ...]
    recorded: Mapping[str, Path] = field(default_factory=dict)
    weights: Index | None = None

    @property
    def name(self) -> str:
        """The name of its records file: rows that are added later have one of their own."""
        if self.weights is None:
            return self.pack.pack_id
        return f"{self.pack.pack_id}.{content_hash([row.evaluation_id for row in self.rows])}"


@dataclass(frozen=True)
class Summary:
    """What became of a pack."""

    pack_id: str
    dataset: str
    network: str
    defense: str
    batch_size: int
    trials: int
    complete: int
    diverged: int
    failed: int
    train_seconds: float
    evaluation_seconds: float
    seconds: float  # all of it: also loading data, writing records, and before a restart
    device: str
    resumed_step: int = 0  # the step at which training was taken up from a checkpoint
    trained_together: int = 0  # fewer than `trials` where memory did not hold all at once
    error: str | None = None  # of failed trials
    unwritten: str | None = None  # why the records could not be written
    found: bool = False  # the records were there: nothing was trained
    note: str | None = None  # what the user should know, in one line


class DeviceLostError(RuntimeError):
    """This process can use its GPU no more: the pack must be run in another one."""


def run_pack(
    job: Job, on_step: OnStep | None = None, *, leave_lost_device: bool = False
) -> Summary:
    """Run a pack and write its records; whatever goes wrong inside is recorded, not raised.

    A pack that has finished records is not trained again: its worker died, or was not heard, after
    they were written.

    Args:
        job: the pack, its data set and the settings.
        on_step: called with the number of the training step just made.
        leave_lost_device: whether another process can run the pack if this one's GPU fails.

    Returns:
        How it went. Unless it says `unwritten`, the pack's records are on disk.

    Raises:
        DeviceLostError: the GPU failed, and another process is to run the pack.
    """
    started = time.perf_counter()
    if job.settings.threads is not None:
        torch.set_num_threads(job.settings.threads)
    try:
        return _run_and_write(job, on_step, started, leave_lost_device)
    except OSError as error:
        lost = failed_pack(len(job.pack), one_line(error))
        return replace(_summary(job, lost, started), error=None, unwritten=one_line(error))


def _run_and_write(
    job: Job, on_step: OnStep | None, started: float, leave_lost_device: bool
) -> Summary:
    before = _finished_before(job)
    if len(before) == len(job.pack):
        _remove_checkpoints(job)
        return replace(_summary(job, _recorded(job), started), found=True)
    pack, settings = job.pack, job.settings
    try:
        outcome = _measure(job, on_step)
        table = _records(job, outcome)
        curves = records.build_curves(pack, settings.origin, outcome)
    except UnwrittenWeightsError:  # a full disk is no fault of the pack's
        raise
    except Exception as exception:  # one pack's failure must not stop the sweep
        if leave_lost_device and device_lost(exception):
            raise DeviceLostError(one_line(exception)) from exception
        return record_failure(job, one_line(exception), traceback.format_exc(), started)
    note = added.changes(job.recorded, table)
    store.write_pack(folder(job), job.name, _with_what_is_there(job, table), curves)
    _remove_checkpoints(job)
    return replace(_summary(job, outcome, started), note=note)


def _records(job: Job, outcome: PackOutcome) -> pa.Table:
    settings = job.settings
    return records.build_records(
        job.pack, job.info, job.rows, settings.training, settings.origin, outcome
    )


def record_failure(job: Job, error: str, details: str, started: float | None = None) -> Summary:
    """Record every trial of a pack as failed; the traceback goes to a file of its own.

    Records of the pack that hold a finished trial stay as they are.

    Returns:
        How the pack stands in its records.

    Raises:
        OSError: the records cannot be written.
    """
    pack = job.pack
    started = time.perf_counter() if started is None else started
    _keep_details(job, details)
    if _finished_before(job):
        return replace(_summary(job, _recorded(job, error), started), found=True)
    outcome = failed_pack(len(pack), error)
    table = _records(job, outcome)
    store.write_table(folder(job).records(job.name), table)
    return _summary(job, outcome, started)


def _keep_details(job: Job, details: str) -> None:
    log = folder(job).logs / f"{job.pack.pack_id}.txt"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(details, encoding="utf-8")
    except OSError as error:  # the record says in one line what went wrong
        output.warn(f"{log}: cannot be written ({one_line(error)})")


def _remove_checkpoints(job: Job) -> None:
    try:
        checkpoints.remove_finished(folder(job), job.pack)
    except OSError as error:  # the next start removes them
        output.warn(f"checkpoints cannot be removed ({one_line(error)})")


def _finished_before(job: Job) -> set[str]:
    """The trials whose rows the pack's own records have; a damaged file is set aside."""
    path = folder(job).records(job.name)
    try:
        recorded = store.recorded(path)
    except FileNotFoundError:
        return set()
    except DamagedError as error:
        output.warn(f"{error}; it is kept as {files.set_aside(path).name}")
        return set()
    wanted = {row.evaluation_id for row in job.rows}
    trials = {trial.trial_id for trial in job.pack.trials}
    return {
        trial
        for trial, own in recorded.items()
        if trial in trials and own.status != FAILED and wanted <= own.rows
    }


def _with_what_is_there(job: Job, table: pa.Table) -> pa.Table:
    """Add the rows that the pack's own records have and this time did not give.

    Those of a trial that failed this time stay as they are; those of other weights go.
    """
    path = folder(job).records(job.name)
    if not path.exists():
        return table
    there = store.read_table(path)
    names = ("trial_id", "status", "weights_hash", "evaluation_id")
    new, old = (
        list(zip(*(part[name].to_pylist() for name in names), strict=True))
        for part in (table, there)
    )
    finished = {trial for trial, status, *_ in old if status != FAILED}
    kept = [status != FAILED or trial not in finished for trial, status, *_ in new]
    weights = {trial: own for (trial, _, own, _), keep in zip(new, kept, strict=True) if keep}
    keys = {(trial, row) for (trial, _, _, row), keep in zip(new, kept, strict=True) if keep}
    stays = [
        status != FAILED and (trial, row) not in keys and weights.get(trial, own) == own
        for trial, status, own, row in old
    ]
    return pa.concat_tables([table.filter(pa.array(kept)), there.filter(pa.array(stays))])


def _recorded(job: Job, error: str = "no record") -> PackOutcome:
    """What became of a pack by its records; trials that these have not finished have the error."""
    names = ["status", "diverged_step", "pack_size", "train_seconds", "evaluation_seconds"]
    table = store.read_table(folder(job).records(job.name))
    rows = {
        row["trial_id"]: row for row in table.select(["trial_id", "device", *names]).to_pylist()
    }
    trials = tuple(_recorded_outcome(rows.get(t.trial_id), error) for t in job.pack.trials)
    return PackOutcome(trials, next(row["device"] for row in rows.values()))


def _recorded_outcome(row: Mapping[str, Any] | None, error: str) -> Outcome:
    """What became of a trial by one of its records."""
    if row is None:
        return Outcome(Assessment(problem=error))
    return Outcome(
        Assessment(problem=error if row["status"] == FAILED else None),
        diverged_step=row["diverged_step"],
        trained_together=row["pack_size"],
        train_seconds=row["train_seconds"],
        evaluation_seconds=row["evaluation_seconds"],
    )


def folder(job: Job) -> store.Folder:
    """Where the job's records go."""
    return store.Folder(Path(job.settings.results), job.settings.origin.experiment)


def one_line(exception: BaseException) -> str:
    """An exception's type and message without line breaks."""
    return " ".join(f"{type(exception).__name__}: {exception}".split())


def _summary(job: Job, outcome: PackOutcome, started: float) -> Summary:
    first, trials = job.pack.first, outcome.trials
    status = [own.status for own in trials]
    problems = [own.assessment.problem for own in trials]
    return Summary(
        pack_id=job.pack.pack_id,
        dataset=first.dataset,
        network=first.network,
        defense=first.defense,
        batch_size=first.batch_size,
        trials=len(trials),
        complete=status.count("complete"),
        diverged=status.count("diverged"),
        failed=status.count("failed"),
        train_seconds=sum(own.train_seconds or 0.0 for own in trials),
        evaluation_seconds=sum(own.evaluation_seconds or 0.0 for own in trials),
        seconds=time.perf_counter() - started + outcome.seconds_before,
        device=outcome.device,
        resumed_step=outcome.resumed_step,
        trained_together=max(own.trained_together for own in trials),
        error=next((problem for problem in problems if problem is not None), None),
    )


def _measure(job: Job, on_step: OnStep | None) -> PackOutcome:
    before = added.trained_before(job.recorded)
    if job.settings.origin.simulated:
        made = simulate.measure(job.pack, job.info, job.rows, job.settings.training)
        return made if job.weights is None else added.as_trained_before(job.pack, made, before)
    data = datasets.load(
        job.pack.first.dataset,
        job.pack.first.scaling,
        job.settings.data,
        job.pack.first.split_seed,
    )
    if data.info.costs != job.info.costs:
        raise ValueError(
            f"data set {data.info.name!r} has other costs here than where the sweep was planned; "
            "start it again"
        )
    if data.info.hash != job.pack.first.dataset_hash:
        raise ValueError(
            f"data set {data.info.name!r} has hash {data.info.hash} here and "
            f"{job.pack.first.dataset_hash} where the sweep was planned"
        )
    if job.weights is not None:
        return added.evaluate(job.pack, data, job.settings, job.rows, job.weights, before, on_step)
    deaths = checkpoints.deaths(folder(job), job.pack)
    return measure_after_deaths(job.pack, data, job.settings, job.rows, on_step, deaths)
