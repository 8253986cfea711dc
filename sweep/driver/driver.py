"""Drive a sweep: lock, plan, run the packs, keep records, log, display and MLflow in step."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from robust.supports import label_of
from sweep import files, output
from sweep.cluster import environment
from sweep.cluster import start as ray_start
from sweep.config.schema import SweepConfig
from sweep.cost import calibration
from sweep.cost.device import local_device, slots
from sweep.driver import pack_log, report
from sweep.driver.dry_run import show
from sweep.driver.outline import curves_that_are_not_made, outline
from sweep.driver.overhead import SlotTime
from sweep.driver.plan import Plan, Task, learn_memory, make_plan, make_tasks
from sweep.driver.progress import Progress
from sweep.driver.renewal import ended, previewed_plan, renewed_plan
from sweep.errors import StorageError, UserError
from sweep.grid.options import evaluated_attacks
from sweep.pack import checkpoints, train
from sweep.pack import run as worker
from sweep.pack.run import Job, Summary
from sweep.results import store, weights
from sweep.results.lock import locked
from sweep.results.provenance import git_commit
from sweep.tracking.tracker import Tracker, check_uri, sync_command
from sweep.uri import redacted_values


@dataclass(frozen=True)
class Ending:
    """How a sweep ended.

    Attributes:
        folder: of its results.
        trained: how many trials were trained or evaluated further.
        failed: how many of them failed.
        unfinished: whether networks that were trained now are to be evaluated further.
    """

    folder: store.Folder
    trained: int
    failed: int
    unfinished: bool = False


def dry_run(parts: Sequence[SweepConfig]) -> None:
    """Print what would run."""
    plan = previewed_plan(parts, git_commit())
    tasks, rates = plan_tasks(plan, "unknown")
    show(plan, tasks, rates, slots(plan.config.ray))


def sweep(parts: Sequence[SweepConfig], overrides: Sequence[str] = ()) -> Ending:
    """Run what is missing of a sweep.

    Args:
        parts: the configuration, one or several.
        overrides: the arguments that it was composed from, for the record.

    Raises:
        UserError: one line that says what must change.
        ValueError: a data set cannot be had.
        KeyboardInterrupt: on Ctrl-C, after every worker has been stopped.
    """
    config, name = parts[0], parts[0].name
    assert name is not None
    folder = store.Folder(Path(config.paths.results).absolute(), name)
    _check_writable(folder)
    if not config.debug:
        environment.check_temporary_folder(config.ray)
    if config.tracking.enabled:
        check_uri(config.tracking.uri)
    with _storage(folder), locked(folder.path) as alone:
        if alone:
            files.remove_temporaries(folder.path)
        store.set_damaged_aside(folder)
        store.consolidate(folder)
        if alone:
            weights.prune(folder, _complete(folder))
        commit = git_commit()
        plan = renewed_plan(parts, commit)
        ending = _round(plan, commit, overrides)
        while ending.unfinished and not ending.failed:
            # What another part of the sweep trained is evaluated further.
            further = _round(make_plan(parts), commit, overrides)
            ending = replace(further, trained=ending.trained + further.trained)
        if not ending.failed:
            ended(plan)
        return ending


def _round(plan: Plan, commit: str, overrides: Sequence[str]) -> Ending:
    """Run what can be run now."""
    tasks, rates = plan_tasks(plan, commit, probe=True)
    in_training = {trial.trial_id for part in plan.parts for trial in plan.missing(part)}
    checkpoints.remove_stale(plan.folder, store.finished(plan.folder.root).keys() - in_training)
    _write_manifest(plan, commit, overrides)
    driver = Driver(plan, tasks, rates)
    driver.run(_opening(plan, tasks))
    return driver.close()


def _complete(folder: store.Folder) -> set[str]:
    """The trials that have a network and a record; weights without one were cut short."""
    found = store.finished(folder.root)
    return {trial for trial, status in found.items() if status == "complete"}


def plan_tasks(
    plan: Plan, commit: str, *, probe: bool = False
) -> tuple[list[Task], calibration.Rates]:
    """The packs that a plan still needs, and the rates that predict their time."""
    device = local_device(plan.config.ray)
    rates = calibration.learn(plan.folder.root, train.device_name(device))
    capacity = learn_memory(plan, device, probe=probe)
    return make_tasks(plan, rates, capacity, git_commit=commit, device=device), rates


def _opening(plan: Plan, tasks: Sequence[Task]) -> str:
    lines = [outline(plan, tasks), curves_that_are_not_made(plan)]
    return "\n".join(line for line in lines if line is not None)


@contextlib.contextmanager
def _storage(folder: store.Folder) -> Iterator[None]:
    """End in one line where the results folder cannot be used any more."""
    try:
        yield
    except OSError as error:
        where = folder.path if error.filename is None else error.filename
        raise StorageError(
            f"{where}: {worker.one_line(error)}; what is finished is recorded, and the same "
            "command completes the rest once this is mended"
        ) from error


def _check_writable(folder: store.Folder) -> None:
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.path):
            pass
    except OSError as error:
        raise StorageError(
            f"paths.results={folder.root}: cannot be written ({error.strerror}); "
            "give a folder that can, as in paths.results=/path/to/folder"
        ) from None


def _write_manifest(plan: Plan, commit: str, overrides: Sequence[str]) -> None:
    infos = {key: info for part in plan.parts for key, info in part.infos.items()}
    hashes = {f"{name}/{seed}": info.hash for (name, seed), info in infos.items()}
    scales = {
        name: info.pixel_scale for (name, _), info in infos.items() if info.pixel_scale is not None
    }
    configs = [asdict(part.config) for part in plan.parts]
    store.write_manifest(
        plan.folder,
        config=redacted_values(configs[0] if len(configs) == 1 else {"parts": configs}),
        git_commit=commit,
        trial_ids=(trial.trial_id for trial in plan.trials),
        data_hashes=hashes,
        pixel_scales=scales,
        overrides=redacted_values(_that_complete(overrides)),
        labels=_labels(plan),
        kept_trial_ids=(
            trial.trial_id
            for part in plan.parts
            if part.config.keep.networks == "all"
            for trial in part.trials
        ),
    )


def _that_complete(overrides: Sequence[str]) -> list[str]:
    """The arguments that complete a sweep when given again: making it again is asked for once."""
    return [text for text in overrides if not text.startswith("retrain=")]


def _labels(plan: Plan) -> dict[str, str]:
    """What the plan's defenses, attacks and certificates are called in print."""
    used = {trial.defense for trial in plan.trials}
    made = {name for part in plan.parts for name in evaluated_attacks(part.config.evaluation)}
    return {name: label_of(name) for name in sorted(used | made)}


class Driver:
    """Runs the packs of a plan; keeps records, log, display and MLflow in step."""

    def __init__(
        self, plan: Plan, tasks: Sequence[Task], rates: calibration.Rates | None = None
    ) -> None:
        self.plan = plan
        self.tasks = {task.job.pack.pack_id: task for task in tasks}
        self.slots = 1 if plan.config.debug else slots(plan.config.ray)
        self.progress = Progress(plan.name, list(tasks), len(plan.finished), self.slots, rates)
        self.slot_time = SlotTime(self.slots, len(tasks))
        tracking = plan.config.tracking
        self.tracker = (
            Tracker(plan.folder, tracking.uri, tracking.detail) if tracking.enabled else None
        )
        self.failed = 0  # trials
        self._missing: set[str] = set()

    def run(self, opening: str) -> None:
        """Say what is to be done and do it; return when every pack is recorded."""
        self._try("progress", lambda: print(opening, flush=True))
        if not self.tasks:
            self._log_to_mlflow()
            return
        with self.progress:
            if self.plan.config.debug:
                self._run_here()
            else:
                self._run_under_ray()

    def _run_under_ray(self) -> None:
        config = self.plan.config.ray
        with ray_start.running(config):
            from sweep.cluster import tune  # imports Ray, whose environment is set by now

            tune.run([task.job for task in self.tasks.values()], config, self)

    def _run_here(self) -> None:
        for task in self.tasks.values():
            self.started(task.job)
            self.finished(task.job, worker.run_pack(task.job))

    def _log_to_mlflow(self) -> None:
        """Start the tracker, if there is one and it has not been."""
        if self.tracker is not None and not self.tracker.started:
            self.tracker.start()

    def _try(self, what: str, action: Callable[..., object], *arguments: object) -> None:
        """Do what training can go on without; say once what is missing then."""
        try:
            action(*arguments)
        except UserError:
            raise
        except Exception as error:  # a log, a display: never worth a pack
            if what not in self._missing:
                self._missing.add(what)
                output.warn(f"{what}: {worker.one_line(error)}; the sweep goes on without")

    def started(self, job: Job) -> None:
        """A worker began with the pack."""
        self._try("progress", self.progress.started, job)
        self.slot_time.started(job.pack.pack_id)
        if self.slot_time.full():  # not before: importing MLflow would hold up the workers' start
            self._try("MLflow", self._log_to_mlflow)

    def finished(self, job: Job, summary: Summary) -> None:
        """The pack's records are on disk, or could not be written.

        Raises:
            StorageError: they could not.
        """
        if summary.unwritten is not None:
            raise self._unwritten(summary.unwritten)
        self.failed += summary.failed
        if summary.note is not None:
            output.warn(summary.note)
        self._try("progress", self.progress.finished, job, summary)
        useful = 0.0 if summary.found else summary.train_seconds + summary.evaluation_seconds
        lost = self.slot_time.finished(job.pack.pack_id, useful)
        if not summary.found:
            task = self.tasks[job.pack.pack_id]
            self._try("the log of packs", pack_log.append, self.plan.folder, task, summary, lost)
        if self.tracker is not None:
            self._try("MLflow", self._log_to_mlflow)
            self._try("MLflow", self.tracker.add, self.plan.folder.records(job.name))

    def _unwritten(self, reason: str) -> StorageError:
        return StorageError(
            f"{self.plan.folder.path}: records cannot be written ({reason}); "
            "make room there and run the same command again, which trains what is missing"
        )

    def died(self, job: Job) -> None:
        """The pack's worker was killed: the next one must know."""
        self._try("counts of deaths", checkpoints.add_death, self.plan.folder, job.pack)

    def retried(self, job: Job, error: str) -> None:
        """The pack's worker died; Ray tries it again."""
        self._try("progress", self.progress.retried, job, error)
        self.slot_time.retried(job.pack.pack_id)

    def lost(self, job: Job, error: str, details: str) -> None:
        """The pack's worker died again and again: record as failed what it has no records of.

        Raises:
            StorageError: the records cannot be written.
        """
        try:
            summary = worker.record_failure(job, error, details)
        except OSError as unwritten:
            raise self._unwritten(worker.one_line(unwritten)) from None
        self.finished(job, summary)

    def close(self) -> Ending:
        """Wait for MLflow and print how it went."""
        dropped: list[int] = []
        self._try(
            "order among records", lambda: dropped.append(store.consolidate(self.plan.folder))
        )
        if self.tracker is not None and not self.tracker.close(resync=dropped != [0]):
            command = sync_command(self.plan.folder.root, self.tracker.uri)
            told = f"MLflow lacks some of these trials; `{command}` logs them"
            self._try("progress", print, told)
        self._try("the account at the end", self._tell)
        later = any(part.todo.later for part in self.plan.parts)
        return Ending(self.plan.folder, self.progress.trials, self.failed, later)

    def _tell(self) -> None:
        if self.tasks:
            print(report.counts(self.progress, self.slot_time))
        runs = () if self.tracker is None else (self.tracker.experiment_id, self.tracker.remark)
        lines = [*report.failures(self.plan, self.progress), *report.where(self.plan, *runs)]
        print("\n".join(lines), flush=True)
