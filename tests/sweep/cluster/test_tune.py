"""What Ray says of a worker that died, and of a GPU that it only counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sweep.cluster import environment
from sweep.config.schema import Ray

environment.prepare(Ray())

from sweep.cluster import tune  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]

FACTS = (
    "The actor died unexpectedly before finishing this task.\n"
    "\tclass_name: with_parameters.<locals>._Inner\n"
    "\tactor_id: 3570c69a1a6498ed037a04d601000000\n"
    "\tpid: 28321\n"
    "\tname: train\n"
    "\tip: 127.0.0.1\n"
)
EXIT = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR "
    "Worker exit detail: Worker unexpectedly exits with a connection error code 2. End of file. "
    "Some common causes include: (1) the process was killed by the OOM killer due to high memory "
    "usage, (2) ray stop --force was called"
)
MEMORY = (
    "The actor is dead because its worker process has died. Worker exit type: NODE_OUT_OF_MEMORY "
    "Worker exit detail: Task was killed due to the node running low on memory.\n"
    "Memory on the node was 15.2GB / 16.0GB (0.95)"
)
NODE = (
    "The actor died because its node has died. Node Id: 8c54\n"
    "\tthe actor's node was terminated unexpectedly: health check failed"
)
NEVER = "The actor never ran - it was cancelled before it started running."


@pytest.mark.parametrize(
    ("account", "named"),
    [
        (EXIT, ["SYSTEM_ERROR", "connection error code 2"]),
        (MEMORY, ["NODE_OUT_OF_MEMORY", "running low on memory", "15.2GB / 16.0GB"]),
        (NODE, ["node has died"]),
        (NEVER, ["cancelled before it started"]),
        ("", ["Ray does not say why"]),
    ],
    ids=["exit", "memory", "node", "never", "nothing"],
)
def test_workers_death_is_told_in_one_line_with_its_cause(account: str, named: list[str]) -> None:
    reason = tune._reason(f"Failure # 1 (occurred at 2026-11-24)\n{FACTS}{account}\n")
    assert reason.startswith("the worker process died: ")
    assert "\n" not in reason
    assert all(name in reason for name in named), reason
    assert "common causes" not in reason
    assert "actor_id" not in reason


def test_error_inside_of_a_worker_is_told_by_its_last_line() -> None:
    details = (
        "Failure # 1 (occurred at now)\nray::train() (pid=1)\n  File x\nDeviceLostError: CUDA"
    )
    assert tune._reason(details) == "DeviceLostError: CUDA"


@pytest.mark.parametrize("details", ["", "\n \n"])
def test_account_that_is_empty_is_one_line_too(details: str) -> None:
    assert tune._reason(details) == "Ray reported no error"


def trial(folder: Path) -> SimpleNamespace:
    """A Tune trial that is queued again: Tune has forgotten its error's name by then."""
    return SimpleNamespace(local_path=str(folder), get_error=lambda: None)


def test_last_of_a_trials_failures_is_found_when_it_is_queued_again(tmp_path: Path) -> None:
    assert tune._details(trial(tmp_path)) == "Ray reported no error"
    first = f"Failure # 1 (occurred at noon)\n{FACTS}{MEMORY}\n"
    second = f"Failure # 2 (occurred at one)\n{FACTS}{EXIT}\n"
    (tmp_path / "error.txt").write_text(first + second)
    assert tune._details(trial(tmp_path)) == f"{FACTS}{EXIT}".strip()


def test_gpu_that_torch_cannot_use_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise RuntimeError("No CUDA GPUs are available\nin this container")

    monkeypatch.setattr(torch, "ones", refuse)
    problem = tune.gpu_problem()
    assert problem == "RuntimeError: No CUDA GPUs are available in this container"


def test_gpu_that_torch_can_use_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "ones", lambda *size, device: torch.zeros(*size))
    assert tune.gpu_problem() is None


LOSES_ITS_GPU = """
import os, sys
from pathlib import Path
from sweep.cluster import environment as ray_environment
from sweep.config.schema import Ray, Training
ray_environment.prepare(Ray())
from sweep.cluster import start as ray_start, tune
from sweep.pack.run import DeviceLostError
from tests.sweep.helpers import config, jobs

folder = Path(sys.argv[1])

class Failing(tune.PackTrainable):
    def step(self):
        with (folder / "steps").open("a") as file:
            print(os.getpid(), self.job.pack.pack_id, file=file)
        if len((folder / "steps").read_text().splitlines()) == 1:
            raise DeviceLostError("AcceleratorError: CUDA error: device-side assert triggered")
        return super().step()

class Heard:
    def started(self, job): pass
    def finished(self, job, summary): print("finished", summary.complete, flush=True)
    def retried(self, job, error): print("retried", error, flush=True)
    def lost(self, job, error, details): print("lost", error, flush=True)

tune.PackTrainable = Failing
here = Ray(num_cpus=1, num_gpus=0)
with ray_start.running(here):
    tune.run(jobs(config(folder / "results", training=Training(steps=3))), here, Heard())
"""


@pytest.mark.slow
def test_pack_of_a_lost_gpu_is_run_again_in_another_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOSES_ITS_GPU, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    heard = done.stdout.splitlines()
    retried = [line for line in heard if line.startswith("retried ")]
    assert len(retried) == 1
    assert "CUDA error: device-side assert triggered" in retried[0]
    assert [line for line in heard if line.startswith("finished")] == ["finished 2"] * 2
    steps = [line.split() for line in (tmp_path / "steps").read_text().splitlines()]
    assert len(steps) == 3
    processes = [process for process, _ in steps]
    assert processes[0] not in processes[1:]
    assert steps[0][1] in [pack for _, pack in steps[1:]]
