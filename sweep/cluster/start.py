"""Bring Ray up beside other work: most of its start is waiting.

Only this module, `local` and `tune` beside it import Ray, after a `RayStart` has set its
environment.
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
from collections.abc import Iterator
from pathlib import Path

from sweep.cluster import environment, local, token
from sweep.config import schema
from sweep.errors import RayError

_KNOCK_TIMEOUT_S = 10.0
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


class RayStart:
    """Ray, from its start to its end, in a thread of its own.

    Ray's processes die with the thread that made them (PR_SET_PDEATHSIG), so it stays until
    they are to end. Outside the main thread Ray leaves SIGTERM's handler alone, whose own would
    end the driver at once.
    """

    def __init__(self, ray_config: schema.Ray) -> None:
        """Set Ray's environment, begin, and return at once."""
        environment.prepare(ray_config)
        self._config = ray_config
        self._error: BaseException | None = None
        self._lost: str | None = None
        self._up, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="ray", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with token.restored():
            try:
                _start(self._config)
            except BaseException as error:
                self._error = error
            self._up.set()
            self._watch({} if self._error is not None else _processes())
            self._over.wait()
            if self._lost is None:
                _end()
            else:
                _abandon()

    def _watch(self, processes: dict[str, str]) -> None:
        """Until Ray is to end: look whether it is there, and interrupt the sweep if it is not."""
        misses = 0
        while processes and not self._over.wait(_LOOK_EVERY_S):
            silent = [name for name, address in processes.items() if not _answers(address)]
            misses = misses + 1 if silent else 0
            if misses == _LOOKS:
                self._lose(" and ".join(silent))
                return

    def _lose(self, silent: str) -> None:
        self._lost = (
            f"Ray is gone: {silent} answers no more; what is finished is recorded, "
            "and the same command completes the rest"
        )
        _lost.append(self._lost)
        main = threading.main_thread().ident
        assert main is not None
        # A real signal: it also wakes a thread that waits in Ray.
        signal.pthread_kill(main, signal.SIGINT)
        if not self._over.wait(_LEAVES_WITHIN_S):  # it waits where Ray hears no signal
            print(f"error: {self._lost}", file=sys.stderr, flush=True)
            _abandon()
            os._exit(_EXIT_CODE)

    def wait(self) -> None:
        """Return when Ray is up.

        Raises:
            RayError: it cannot be started or joined.
        """
        self._up.wait()
        if self._error is not None:
            raise self._error

    def check(self) -> None:
        """Tell a Ray that has died from an interruption that somebody asked for.

        Raises:
            RayError: it has died.
        """
        if self._lost is not None:
            raise RayError(self._lost)

    def stop(self) -> None:
        """Let Ray and every worker end, and return without waiting for it."""
        # What Tune leaves behind are cycles with handles in them. One that is collected while Ray
        # ends reaches for what is no longer there, and Ray then ends the whole process.
        if not self._over.is_set():
            gc.collect()
        self._over.set()

    def join(self) -> None:
        """Return when Ray has ended; a Ctrl-C meanwhile must not leave workers behind.

        A Ray that is not up yet is not waited for: it ends as soon as it is, or with the process.
        """
        if self._up.is_set():
            with _uninterrupted():
                self._thread.join()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold off a second Ctrl-C, which must not leave workers behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start(ray_config: schema.Ray) -> None:
    """Start a local Ray, bound to the loopback address, or join a running cluster."""
    import ray

    for name in ("ray", "ray.tune", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if ray_config.address is not None:
        try:
            ray.init(address=_found(ray_config.address), **quiet)
            _hush()
        except RayError:
            raise
        except (OSError, ValueError, RuntimeError) as error:
            raise RayError(
                f"ray.address={ray_config.address}: no Ray cluster answers there "
                f"({' '.join(str(error).split())}); start one with `ray start --head`, "
                "or use ray=local"
            ) from None
        return
    local.start(ray_config.num_cpus, ray_config.num_gpus, **quiet)
    _hush()


def _hush() -> None:
    """Let Ray not print what it hears of dying processes, which no public switch keeps quiet.

    A dead node makes forty lines of its own log; `sweep.cluster.tune` and `_watch` say it in one.
    """
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = _say_nothing


def _say_nothing(*args: object, **kwargs: object) -> None:
    pass


def _end() -> None:
    import ray

    ray.shutdown()


def _abandon() -> None:
    """End what is left of a local Ray without asking it; of a cluster nothing is ours."""
    from ray._private import worker

    node = worker._global_node
    if node is None:
        return
    raylets = [started.process.pid for started in node.all_processes.get("raylet", [])]
    below = [child for raylet in raylets for child in _children(raylet)]
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    for pid in below:  # without its head, a node's helpers outlive it
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """The processes that one has started; none where the system does not tell."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has just ended
            found += map(int, path.read_text().split())
    return found


def _processes() -> dict[str, str]:
    """The addresses of Ray's head and of its process on this machine, by what they are."""
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
        socket.create_connection((host, int(port)), timeout=_KNOCK_TIMEOUT_S).close()
    found = token.settle(address)
    _read_mode()
    return found


def _read_mode() -> None:
    """Let Ray see the mode, which it has read before if it was imported before."""
    with contextlib.suppress(ImportError):  # a Ray without tokens
        from ray._raylet import Config  # type: ignore[attr-defined]

        Config.initialize("")
