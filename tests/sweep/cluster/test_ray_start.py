"""Ray's start beside other work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.cluster import environment
from sweep.cluster import start as ray_start
from sweep.config.schema import Ray
from sweep.errors import RayError

ROOT = Path(__file__).resolve().parents[3]

WITHOUT_MLFLOW = """
import sys
import threading
from sweep.cluster import tune
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
    environment.prepare(Ray())
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
    environment.prepare(Ray(address="127.0.0.1:1"))
    assert not any(name in os.environ for name in names)
    environment.prepare(Ray())
    assert [os.environ[name] for name in names] == ["0", "0"]


class Ear:
    """A port that is listened on until it is closed."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict[str, Ear], list[str]]]:
    """Stand-ins for Ray's two processes, looked at often; and how Ray ended."""
    ears, events = {"its head": Ear(), "its node": Ear()}, []
    addresses = {name: ear.address for name, ear in ears.items()}
    monkeypatch.setattr(ray_start, "_start", lambda config: None)
    monkeypatch.setattr(ray_start, "_processes", lambda: addresses)
    monkeypatch.setattr(ray_start, "_end", lambda: events.append("ended"))
    monkeypatch.setattr(ray_start, "_abandon", lambda: events.append("abandoned"))
    monkeypatch.setattr(ray_start, "_LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(ray_start, "_lost", [])
    yield ears, events
    for ear in ears.values():
        ear.socket.close()


@pytest.mark.parametrize("name", ["its head", "its node"])
def test_ray_that_died_interrupts_the_sweep_and_says_what_died(
    name: str, watched: tuple[dict[str, Ear], list[str]]
) -> None:
    ears, events = watched
    start = ray_start.RayStart(Ray())
    start.wait()
    with pytest.raises(RayError, match=f"Ray is gone: {name} answers no more") as caught:
        try:
            ears[name].socket.close()
            threading.Event().wait(20)
        except KeyboardInterrupt:
            start.check()
    assert "\n" not in str(caught.value)
    assert ray_start.any_lost()
    start.stop()
    start.join()
    assert events == ["abandoned"]


def test_interruption_by_somebody_is_not_taken_for_a_dead_ray(
    watched: tuple[dict[str, Ear], list[str]],
) -> None:
    start = ray_start.RayStart(Ray())
    start.wait()
    start.check()
    start.stop()
    start.join()
    assert watched[1] == ["ended"]
    assert not ray_start.any_lost()


def test_ray_that_misses_a_look_or_two_is_not_lost(
    watched: tuple[dict[str, Ear], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([True, False, True, True] * 3)  # of both processes: one miss at every other look
    enough = threading.Event()

    def answers(address: str) -> bool:
        answer = next(looks, None)
        if answer is None:
            enough.set()
        return answer is not False

    monkeypatch.setattr(ray_start, "_answers", answers)
    start = ray_start.RayStart(Ray())
    assert enough.wait(10)
    start.check()
    start.stop()
    start.join()


def test_sweep_that_hears_no_signal_is_ended_where_it_waits() -> None:
    done = subprocess.run([sys.executable, "-c", DEAF], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Ray is gone: its head answers no more")


DEAF = """
import signal, time
from sweep.cluster import start as ray_start
from sweep.config.schema import Ray
signal.signal(signal.SIGINT, signal.SIG_IGN)
ray_start._start = lambda config: None
ray_start._processes = lambda: {"its head": "127.0.0.1:1"}
ray_start._abandon = lambda: None
ray_start._LOOK_EVERY_S = ray_start._LEAVES_WITHIN_S = 0.1
ray_start.RayStart(Ray())
time.sleep(60)
"""


READ = """
import sys
from sweep.config import compose
from sweep.cluster import start as ray_start
compose.read(["+experiment=uci_full"])
assert not {"torch", "pandas", "ray"} & set(sys.modules)
"""


def test_command_line_is_read_before_anything_slow_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
