"""Run packs as Ray Tune trials, on a Ray that `sweep.cluster.start` has brought up.

Only these two modules import Ray.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune
from ray.air.constants import EXPR_ERROR_FILE
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweep import output
from sweep.config import schema
from sweep.errors import RayError, UserError
from sweep.installation import ROOT
from sweep.pack.run import Job, Summary, one_line, run_pack
from sweep.pack.train import release_memory, take_share

# Ray's accounts of a worker that was killed or crashed, and of one that it killed for memory.
_DEATHS = ("The actor died unexpectedly", "The worker died unexpectedly", "ActorDiedError")
_MEMORY = ("running low on memory", "memory usage threshold", "OutOfMemoryError")
_ADVICE = "Some common causes include"
_FAILURE = r"^Failure # \d+ \(occurred at .*\)$"  # heads each of a trial's errors in its file
_UNKNOWN = "Ray reported no error"
_LONGEST = 400  # characters of a reason
_GPU_ANSWERS_WITHIN_S = 120.0


class Listener(Protocol):
    """What the driver does with the events of each pack."""

    def started(self, job: Job) -> None:
        """A worker began with the pack."""

    def finished(self, job: Job, summary: Summary) -> None:
        """The pack's records are on disk."""

    def died(self, job: Job) -> None:
        """The pack's worker was killed; called before `retried` or `lost`."""

    def retried(self, job: Job, error: str) -> None:
        """The pack's worker died; it is tried again."""

    def lost(self, job: Job, error: str, details: str) -> None:
        """The pack's worker died again and again; it has no records."""


class PackTrainable(tune.Trainable):  # type: ignore[misc]
    """One Tune trial: its only step runs a whole pack."""

    def setup(
        self, config: dict[str, Any], jobs: Sequence[Job], device: str, share: float
    ) -> None:
        """Called once per worker process; the process then takes one pack after another."""
        # Ray puts the folder of the driver's script on the path, where our module names
        # could shadow those of other packages.
        here = str(ROOT / "sweep")
        sys.path[:] = [path for path in sys.path if path != here]
        self.jobs = jobs
        self.device = device
        take_share(device, share)
        self.job = jobs[config["job"]]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack without starting a new process."""
        self.job = self.jobs[new_config["job"]]
        return True

    def step(self) -> dict[str, Any]:
        """Run the pack.

        Raises:
            DeviceLostError: Tune then ends this process and runs the pack in another.
        """
        settings = replace(self.job.settings, device=self.device)
        summary = run_pack(replace(self.job, settings=settings), leave_lost_device=True)
        release_memory(self.device)  # what this pack kept is not to be missing from the next
        return {"summary": asdict(summary), "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to keep: a pack that is finished is on disk."""


class _Forward(tune.Callback):  # type: ignore[misc]
    """Passes Tune's events on to a listener.

    Tune would take an error raised here for the pack's own, and run the pack again.
    """

    def __init__(self, jobs: Sequence[Job], listener: Listener) -> None:
        self.jobs = jobs
        self.listener = listener
        self.error: UserError | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Tune saves its callbacks for a restore that a sweep never makes: nothing to save."""
        return {}

    def _job(self, tune_trial: Any) -> Job:
        job: int = tune_trial.config["job"]
        return self.jobs[job]

    def _pass_on(self, event: Callable[[], None]) -> None:
        try:
            event()
        except UserError as error:  # the sweep cannot go on: see `on_step_end`
            self.error = self.error or error
        except Exception as error:
            output.warn_once(f"news of a pack was lost ({one_line(error)}); the sweep goes on")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._pass_on(lambda: self.listener.started(self._job(trial)))

    def on_trial_complete(
        self, iteration: int, trials: list[Any], trial: Any, **info: Any
    ) -> None:
        self._pass_on(
            lambda: self.listener.finished(
                self._job(trial), Summary(**trial.last_result["summary"])
            )
        )

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """End the sweep where its listener cannot go on: Tune lets errors through here."""
        if self.error is not None:
            raise self.error

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        details = _details(trial)
        self._count_death(trial, details)
        self._pass_on(lambda: self.listener.retried(self._job(trial), _reason(details)))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        details = _details(trial)
        self._count_death(trial, details)
        self._pass_on(lambda: self.listener.lost(self._job(trial), _reason(details), details))

    def _count_death(self, trial: Any, details: str) -> None:
        if _killed(details):
            self._pass_on(lambda: self.listener.died(self._job(trial)))


def _details(tune_trial: Any) -> str:
    """What Ray said of a trial's last failure.

    Tune forgets the file's name when it queues the trial again, which it does first.
    """
    path = Path(str(tune_trial.local_path), EXPR_ERROR_FILE)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # Tune could not write it
        text = ""
    return re.split(_FAILURE, text, flags=re.MULTILINE)[-1].strip() or _UNKNOWN


def _killed(details: str) -> bool:
    """Whether the worker was killed or crashed, rather than raised an error."""
    return details == _UNKNOWN or any(text in details for text in (*_DEATHS, *_MEMORY))


def _reason(details: str) -> str:
    """One line of a failure: the cause, without Ray's advice."""
    lines = [line for line in details.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if any(d in line for d in _DEATHS)), None)
    if start is None and any(text in details for text in _MEMORY):
        return "the worker process was killed because the machine's memory ran out"
    if start is None:
        return lines[-1].strip() if lines else _UNKNOWN
    account = " ".join(line for line in lines[start + 1 :] if not line.startswith("\t"))
    cause = " ".join(account.split(_ADVICE)[0].split())
    return f"the worker process died: {cause or 'Ray does not say why'}"[:_LONGEST]


def run(jobs: Sequence[Job], ray_config: schema.Ray, listener: Listener) -> None:
    """Run every job, the first ones first, as many at a time as Ray's resources allow.

    Args:
        jobs: packs in the order in which they should start.
        ray_config: where to run and what each pack takes.
        listener: called in this process, in the thread that called `run`.

    Raises:
        RayError: Ray lacks what was asked for.
        KeyboardInterrupt: on Ctrl-C.
    """
    gpus = gpus_per_pack(ray_config)
    _check_resources(ray_config, gpus)
    if gpus:
        _check_gpus(gpus)
    device = "cuda" if gpus else "cpu"
    trainable = tune.with_resources(
        tune.with_parameters(PackTrainable, jobs=list(jobs), device=device, share=gpus),
        {"cpu": ray_config.cpus_per_pack, "gpu": gpus},
    )
    with tempfile.TemporaryDirectory(prefix="sweep-tune-") as scratch:
        _tuner(trainable, jobs, ray_config, listener, scratch).fit()


def _tuner(
    trainable: Any,
    jobs: Sequence[Job],
    ray_config: schema.Ray,
    listener: Listener,
    scratch: str,
) -> tune.Tuner:
    return tune.Tuner(
        trainable,
        param_space={"job": tune.grid_search(list(range(len(jobs))))},
        tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=_dirname),
        run_config=tune.RunConfig(
            name="packs",
            storage_path=scratch,
            verbose=0,
            callbacks=[_Forward(jobs, listener)],
            failure_config=tune.FailureConfig(max_failures=ray_config.max_failures),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )


def _dirname(trial: Any) -> str:
    return str(trial.trial_id)


def gpus_per_pack(ray_config: schema.Ray) -> float:
    """The share of a GPU that a pack takes: half a GPU unless told, none where there is none."""
    if ray_config.gpus_per_pack is not None:
        return ray_config.gpus_per_pack
    return 0.5 if ray.cluster_resources().get("GPU", 0) else 0.0


def _check_resources(ray_config: schema.Ray, gpus: float) -> None:
    largest: dict[str, float] = {"CPU": 0, "GPU": 0}
    for node in ray.nodes():
        for name in largest:
            largest[name] = max(largest[name], node["Resources"].get(name, 0))
    wanted: dict[str, tuple[str, float]] = {"CPU": ("ray.cpus_per_pack", ray_config.cpus_per_pack)}
    wanted["GPU"] = ("ray.gpus_per_pack", gpus)
    for name, (key, amount) in wanted.items():
        if amount > largest[name]:
            raise RayError(
                f"{key}={amount}: no node has more than {largest[name]:g} {name}; "
                f"lower {key} or add a node"
            )


def gpu_problem() -> str | None:
    """Why torch cannot use the GPU that this process was given, in one line; None if it can."""
    import torch

    try:
        torch.ones(1, device="cuda").sum().item()
    except Exception as error:  # whatever a driver, a build without CUDA or an old GPU raise
        return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
    return None


def _check_gpus(share: float) -> None:
    """Let a process on every node with a GPU use it, before packs fail there one by one.

    Raises:
        RayError: Ray counts a GPU that torch cannot use. Packs do not fall back to the CPU, which
            would take weeks where a GPU takes hours, unasked.
    """
    ask = ray.remote(num_cpus=0, num_gpus=share, max_retries=0)(gpu_problem)
    nodes = [n for n in ray.nodes() if n["Alive"] and n["Resources"].get("GPU", 0) >= share]
    asked = {
        ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(): str(node["NodeManagerAddress"])
        for node in nodes
    }
    done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_GPU_ANSWERS_WITHIN_S)
    for reference in done:  # a GPU that others hold has not answered, and is left to them
        try:
            problem = ray.get(reference)
        except ray.exceptions.RayError as error:  # a driver may take its process with it
            problem = _reason(str(error))
        if problem is not None:
            raise RayError(
                f"ray.gpus_per_pack={share:g}: Ray counts a GPU on {asked[reference]} that torch "
                f"cannot use ({problem}); mend it there, or run on CPUs with ray.gpus_per_pack=0"
            )
