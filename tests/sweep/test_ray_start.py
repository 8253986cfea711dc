"""Ray's start beside other work."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sweep import ray_environment, ray_start
from sweep.config import Ray
from sweep.errors import RayError

ROOT = Path(__file__).resolve().parents[2]

WITHOUT_MLFLOW = """
import sys
import threading
from sweep import tune
tune._import_without_mlflow("ray.air.integrations.mlflow")
tune._import_without_mlflow("ray.no_such_module")
assert "ray.air.integrations.mlflow" in sys.modules
assert not [name for name in sys.modules if name.split(".")[0] == "mlflow"]
import mlflow
assert mlflow.__version__
"""


def test_tunes_logger_is_imported_without_mlflow_which_stays_importable() -> None:
    command = [sys.executable, "-c", WITHOUT_MLFLOW]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_error_of_the_start_reaches_who_waits() -> None:
    ray_environment.prepare(Ray())
    start = ray_start.RayStart(Ray(address="127.0.0.1:1"))
    try:
        with pytest.raises(RayError, match="127.0.0.1:1: no Ray cluster answers there"):
            start.wait()
    finally:
        start.stop()
        start.join()
    assert not start._thread.is_alive()


def test_ray_that_starts_is_not_waited_for_and_ends_when_it_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, events = threading.Event(), []

    def slow(config: Ray) -> None:
        go.wait()
        events.append("up")

    monkeypatch.setattr(ray_start, "_start", slow)
    monkeypatch.setattr(ray_start, "_end", lambda: events.append("ended"))
    start = ray_start.RayStart(Ray())
    start.stop()
    start.join()
    assert events == []
    go.set()
    start._thread.join(timeout=10)
    assert events == ["up", "ended"]


def test_ray_that_is_up_has_ended_when_it_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(ray_start, "_start", lambda config: events.append("up"))
    monkeypatch.setattr(ray_start, "_end", lambda: events.append("ended"))
    start = ray_start.RayStart(Ray())
    start.wait()
    start.stop()
    start.join()
    assert events == ["up", "ended"]


def test_what_tune_leaves_in_cycles_is_gone_before_ray_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[str] = []

    class Handle:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            events.append("handle collected")

    monkeypatch.setattr(ray_start, "_start", lambda config: events.append("up"))
    monkeypatch.setattr(ray_start, "_end", lambda: events.append("ended"))
    start = ray_start.RayStart(Ray())
    start.wait()
    Handle()
    start.stop()
    start.join()
    assert events == ["up", "handle collected", "ended"]


def test_local_ray_starts_no_workers_in_advance(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("RAY_prestart_worker_first_driver", "RAY_enable_worker_prestart")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    ray_environment.prepare(Ray(address="127.0.0.1:1"))
    assert not any(name in os.environ for name in names)
    ray_environment.prepare(Ray())
    assert [os.environ[name] for name in names] == ["0", "0"]


READ = """
import sys
from sweep import compose, ray_start
compose.read(["+experiment=uci_full"])
assert not {"torch", "pandas", "ray"} & set(sys.modules)
"""


def test_command_line_is_read_before_anything_slow_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
