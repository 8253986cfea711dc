"""Run real sweeps as a person would, and kill their processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.request import urlopen

import pyarrow.parquet as pq
from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parents[2]
VALUES = ("trial_id", "split", "attack", "attack_grid_radius", "status", "accuracy")
Value = tuple[object, ...]


def arguments(results: Path, *more: str) -> list[str]:
    """A sweep of packs that take about a second each."""
    return [
        "+experiment=quickstart",
        "name=chaos",
        "grid.dataset=[iris]",
        "grid.network=[mlp-1x16]",
        "grid.defense=[nominal,arub-linf,pgd-linf]",
        "grid.grid_radius=[0.1]",
        "evaluation.attacks=[fgsm-linf]",
        "evaluation.attack_grid_radii=[0,0.1]",
        "evaluation.max_samples=20",
        f"paths.results={results}",
        f"tracking.uri=sqlite:///{results}.db",
        *more,
    ]


def start(argv: Sequence[str], **environment: str) -> subprocess.Popen[str]:
    """Start a driver in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweep" / "run.py"), *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def run(argv: Sequence[str], timeout: float = 240, **environment: str) -> tuple[int, str]:
    """Run a driver to its end; return its exit code and what it printed."""
    process = start(argv, **environment)
    output, _ = process.communicate(timeout=timeout)
    return process.returncode, output


def wait_for(condition: Callable[[], bool], timeout: float = 120) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def descendants(pid: int) -> dict[int, str]:
    """The command line of every process below one."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.name))
    found: dict[int, str] = {}
    left = list(parents.get(pid, []))
    while left:
        child = left.pop()
        left += parents.get(child, [])
        try:
            found[child] = (Path("/proc") / str(child) / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def victim(driver: int, kind: str) -> int | None:
    """A process to kill: the driver, one of its workers, or its Ray node."""
    marks = {"worker": "Trainable", "node": "raylet/raylet"}
    if kind == "driver":
        return driver
    return next((pid for pid, line in descendants(driver).items() if marks[kind] in line), None)


def await_victim(driver: subprocess.Popen[str], kind: str, timeout: float = 60) -> int | None:
    """The same, waiting for it while the driver lives: workers start seconds after it."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and driver.poll() is None:
        pid = victim(driver.pid, kind)
        if pid is not None:
            return pid
        time.sleep(0.2)
    return None


def kill(pid: int) -> None:
    """Kill a process as the kernel does when memory runs out."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def recorded(results: Path) -> Counter[Value]:
    """Every recorded value, and how often it is there."""
    rows: Counter[Value] = Counter()
    for path in sorted((results / "chaos" / "records").glob("[!.]*.parquet")):
        columns = [pq.read_table(path, columns=[name])[name].to_pylist() for name in VALUES]
        rows.update(zip(*columns, strict=True))
    return rows


def in_mlflow(results: Path, uri: str | None = None) -> Counter[str]:
    """How often each trial is in MLflow."""
    client = MlflowClient(uri or f"sqlite:///{results}.db")
    experiment = client.get_experiment_by_name("chaos")
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'trial'", max_results=5000)
    return Counter(run.data.tags["trial_id"] for run in runs)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_mlflow(folder: Path, port: int, backend: str | None = None) -> subprocess.Popen[bytes]:
    """Start a tracking server whose artifacts, and database unless given, lie in a folder."""
    backend = backend if backend is not None else f"sqlite:///{folder / 'server.db'}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", str(port), "--backend-store-uri", backend]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    wait_for(lambda: _answers(port))
    return server


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            return True
    except OSError:
        return False


def stop(server: subprocess.Popen[bytes]) -> None:
    """Kill a server and its workers."""
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def sync(results: Path, uri: str) -> None:
    """Bring MLflow up to date as a person would."""
    command = [sys.executable, "-m", "sweep.tracking", "sync", f"results={results}", f"uri={uri}"]
    subprocess.run(command, check=True, cwd=ROOT)
