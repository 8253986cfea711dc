"""Ray's start, its end, and the watch between them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.cluster import start as ray_start
from sweep.config.schema import Ray
from sweep.errors import RayError
from tests.sweep.chaos import wait_for

ROOT = Path(__file__).resolve().parents[3]


def test_cluster_that_does_not_answer_is_named() -> None:
    with (
        pytest.raises(RayError, match=r"127.0.0.1:1: no Ray cluster answers there") as caught,
        ray_start.running(Ray(address="127.0.0.1:1")),
    ):
        raise AssertionError("it cannot run")
    assert "\n" not in str(caught.value)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for Ray's start and end, and what became of them."""
    events: list[str] = []
    ended = SimpleNamespace(shutdown=lambda: events.append("ended"))
    monkeypatch.setitem(sys.modules, "ray", ended)
    monkeypatch.setattr(ray_start, "_start", lambda config: events.append("up"))
    monkeypatch.setattr(ray_start, "_addresses", dict)
    monkeypatch.setattr(ray_start, "_kill", lambda processes: events.append("killed"))
    monkeypatch.setattr(ray_start, "_LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(ray_start, "_lost", [])
    return events


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_ray_has_ended_after_the_block_however_it_ends(
    error: type[BaseException], events: list[str]
) -> None:
    with pytest.raises(error), ray_start.running(Ray()):
        events.append("block")
        raise error
    assert events == ["up", "block", "ended"]
    assert not ray_start.any_lost()


def test_what_tune_leaves_in_cycles_is_gone_before_ray_ends(events: list[str]) -> None:
    class Handle:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            events.append("handle collected")

    with ray_start.running(Ray()):
        Handle()
    assert events == ["up", "handle collected", "ended"]


def test_second_interruption_does_not_stop_the_end_of_ray(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def shutdown() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
        events.append("ended")

    monkeypatch.setattr(sys.modules["ray"], "shutdown", shutdown)
    with pytest.raises(KeyboardInterrupt), ray_start.running(Ray()):
        signal.raise_signal(signal.SIGINT)
    assert events == ["up", "ended"]


def test_handler_of_sigterm_is_this_process_own_while_ray_is_up(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(config: Ray) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ray does

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(ray_start, "_start", start)
    with ray_start.running(Ray()):
        assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_while_ray_starts_is_an_interruption(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(config: Ray) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ray does
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ray_start, "_start", start)
    with pytest.raises(KeyboardInterrupt), ray_start.running(Ray()):
        raise AssertionError("it cannot run")


def test_processes_and_all_below_them_are_killed() -> None:
    code = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); "
    code += "p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    ray_start._kill([parent.pid])
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not alive(child), 10)


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended may wait for its parent to hear of it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Ear:
    """A port that is listened on until it is closed."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"


@pytest.fixture
def ears(events: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Ear]]:
    """Stand-ins for Ray's two processes, which are looked at often."""
    ears = {"its head": Ear(), "its node": Ear()}
    addresses = {name: ear.address for name, ear in ears.items()}
    monkeypatch.setattr(ray_start, "_addresses", lambda: addresses)
    yield ears
    for ear in ears.values():
        ear.socket.close()


@pytest.mark.parametrize("name", ["its head", "its node"])
def test_ray_that_died_interrupts_the_sweep_and_says_what_died(
    name: str, ears: dict[str, Ear], events: list[str]
) -> None:
    with (
        pytest.raises(RayError, match=f"Ray is gone: {name} answers no more") as caught,
        ray_start.running(Ray()),
    ):
        ears[name].socket.close()
        threading.Event().wait(20)
    assert "\n" not in str(caught.value)
    assert ray_start.any_lost()
    assert events == ["up", "killed"]


def test_ray_that_misses_a_look_or_two_is_not_lost(
    ears: dict[str, Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([True, False, True, True] * 3)  # of both processes: one miss at every other look
    enough = threading.Event()

    def answers(address: str) -> bool:
        answer = next(looks, None)
        if answer is None:
            enough.set()
        return answer is not False

    monkeypatch.setattr(ray_start, "_answers", answers)
    with ray_start.running(Ray()):
        assert enough.wait(10)
    assert not ray_start.any_lost()


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
ray_start._addresses = lambda: {"its head": "127.0.0.1:1"}
ray_start._LOOK_EVERY_S = ray_start._LEAVES_WITHIN_S = 0.1
with ray_start.running(Ray()):
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
