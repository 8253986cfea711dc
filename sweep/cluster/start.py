"""Ray, from its start to its end.

Only this module and `tune` beside it import Ray, after `running` has set its environment.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from sweep.cluster import environment, token
from sweep.config import schema
from sweep.errors import RayError

_CONNECT_TIMEOUT_S = 10.0
# A Ray whose head or node is gone ends this process after 13 to 60 seconds, without a word that
# helps. Three looks in a row tell a dead process from a busy machine.
_LOOK_EVERY_S = 2.0
_LOOK_TIMEOUT_S = 5.0
_LOOKS = 3
_LEAVES_WITHIN_S = 8.0  # after which the sweep is ended where it waits
_EXIT_CODE = 2  # as of every error that is none of the sweep's own

_lost: list[str] = []  # what this process came to know of any Ray of its own


def any_lost() -> bool:
    """Whether a Ray died under this process, whose end Ray's own threads would then hold up."""
    return bool(_lost)


@contextlib.contextmanager
def running(ray_config: schema.Ray) -> Iterator[None]:
    """Ray, which is up while the block runs and has ended with every worker after it.

    Raises:
        RayError: it cannot be started or joined, or it died while the block ran.
        KeyboardInterrupt: on Ctrl-C or SIGTERM.
    """
    environment.prepare(ray_config)
    others = _children(os.getpid())
    with token.restored():
        with _own_sigterm():
            _start(ray_config)
        own = [pid for pid in _children(os.getpid()) if pid not in others]
        watch = _Watch(_addresses(), own)
        watch.start()
        try:
            yield
        except KeyboardInterrupt:
            if watch.lost is not None:
                raise RayError(watch.lost) from None
            raise
        finally:
            watch.over.set()
            with _uninterrupted():
                _end(watch)


class _Watch(threading.Thread):
    """Looks whether Ray is still there, and interrupts the main thread if it is not."""

    def __init__(self, addresses: dict[str, str], processes: list[int]) -> None:
        super().__init__(name="ray-watch", daemon=True)
        self.addresses = addresses  # by what listens there
        self.processes = processes  # of a Ray that this process has started
        self.over = threading.Event()
        self.lost: str | None = None

    def run(self) -> None:
        """Look until the sweep is over or Ray is gone."""
        misses = 0
        while self.addresses and not self.over.wait(_LOOK_EVERY_S):
            silent = [name for name, address in self.addresses.items() if not _answers(address)]
            misses = misses + 1 if silent else 0
            if misses == _LOOKS:
                self._lose(" and ".join(silent))
                return

    def _lose(self, silent: str) -> None:
        self.lost = (
            f"Ray is gone: {silent} answers no more; what is finished is recorded, "
            "and the same command completes the rest"
        )
        _lost.append(self.lost)
        main = threading.main_thread().ident
        assert main is not None
        # A real signal: it also wakes a thread that waits in Ray.
        signal.pthread_kill(main, signal.SIGINT)
        if not self.over.wait(_LEAVES_WITHIN_S):  # it waits where Ray hears no signal
            print(f"error: {self.lost}", file=sys.stderr, flush=True)
            _kill(self.processes)
            os._exit(_EXIT_CODE)


@contextlib.contextmanager
def _own_sigterm() -> Iterator[None]:
    """Keep this process's handler of SIGTERM, which Ray's start replaces by one that exits."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:  # from Ray's own handler, in the seconds in which it stands
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold off a second Ctrl-C and SIGTERM, which must not leave workers behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(ray_config: schema.Ray) -> None:
    """Start a local Ray, bound to the loopback address, or join a running cluster."""
    for name in ("ray", "ray.tune", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if ray_config.address is None:
        token.give_own()
        import ray

        # Without an address Ray joins any other that it finds running on this machine.
        ray.init(
            address="local",
            num_cpus=ray_config.num_cpus,
            num_gpus=ray_config.num_gpus,
            include_dashboard=False,
            **quiet,
        )
        _hush()
        return
    try:
        address = _found(ray_config.address)
        import ray  # it reads the token's mode when it is imported

        ray.init(address=address, **quiet)
        _hush()
    except RayError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise RayError(
            f"ray.address={ray_config.address}: no Ray cluster answers there "
            f"({' '.join(str(error).split())}); start one with `ray start --head`, "
            "or use ray=local"
        ) from None


def _hush() -> None:
    """Let Ray not print what it hears of dying processes, which no public switch keeps quiet.

    A dead node makes forty lines of its own log; `sweep.cluster.tune` and `_Watch` say it in one.
    """
    from ray._private import worker

    worker.print_to_stdstream = lambda *_, **__: None


def _end(watch: _Watch) -> None:
    """Let Ray and every worker end; of a cluster only what is the driver's own."""
    if watch.lost is None:
        # What Tune leaves behind are cycles with handles in them. One that is collected while Ray
        # ends reaches for what is no longer there, and Ray then ends the whole process.
        gc.collect()
        import ray

        ray.shutdown()
    else:  # a Ray without its head or node cannot be asked
        _kill(watch.processes)


def _kill(processes: Sequence[int]) -> None:
    """Kill processes and all below them, which would outlive them."""
    for pid in processes:
        below = _children(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _kill(below)


def _children(pid: int) -> list[int]:
    """The processes that one has started; none where the system does not tell."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has just ended
            found += map(int, path.read_text().split())
    return found


def _addresses() -> dict[str, str]:
    """Where Ray's head and its process on this machine listen, by what they are."""
    import ray

    if not ray.is_initialized() or ray.util.client.ray.is_connected():
        return {}
    context = ray.get_runtime_context()
    own = context.get_node_id()
    (node,) = (node for node in ray.nodes() if node["NodeID"] == own)
    return {
        "its head (gcs_server)": context.gcs_address,
        "its node (raylet)": f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}",
    }


def _answers(address: str) -> bool:
    """Whether anything listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_LOOK_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _found(address: str) -> str:
    """The cluster's own address, once it has answered; Ray itself goes on trying for minutes.

    Raises:
        OSError: nothing answers there.
        ValueError: it has no port.
        RayError: the cluster and this machine disagree about a token.
    """
    if "://" in address:
        return address
    if address != "auto":
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    return token.settle(address)
