"""What Ray reads from the environment when it is imported: set before `sweep.cluster.tune` is."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sweep.config.schema import Ray
from sweep.cost.allocator import KEEP_MEMORY
from sweep.cost.waiting import wait_asleep
from sweep.errors import RayError

_ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C must reach the driver at once
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # the records on disk are what resumes a sweep
    "TUNE_WARN_THRESHOLD_S": "3600",
}
# Below its temporary folder Ray lays sockets, whose paths the system bounds.
_SOCKET = "ray/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
_LONGEST_SOCKET = 107  # bytes
_LOCAL = {
    # The only switch that makes every one of Ray's processes listen on the loopback address alone;
    # _node_ip_address is replaced by the machine's own address.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


def prepare(ray: Ray) -> None:
    """Set Ray's environment for this process and those that it starts."""
    os.environ.update(_ALWAYS)
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)  # read by the workers when they start
    wait_asleep(os.environ)
    if ray.address is None:
        os.environ.update(_LOCAL)


def check_temporary_folder(ray: Ray) -> None:
    """Refuse a temporary folder in which a local Ray could not start.

    Raises:
        RayError: its path is too long for Ray's sockets, or nothing can be written there.
    """
    if ray.address is not None:
        return
    name = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    folder = Path(os.environ[name] if name else "/tmp")
    advice = "set RAY_TMPDIR to a short folder that can be written, as in RAY_TMPDIR=/tmp"
    where = f"{name}={folder}" if name else str(folder)
    longest = len(os.fsencode(folder.absolute() / _SOCKET))
    if longest > _LONGEST_SOCKET:
        raise RayError(
            f"{where}: too long for Ray, whose sockets below it would have paths of {longest} "
            f"bytes, and {_LONGEST_SOCKET} are allowed; {advice}"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)  # as Ray does
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise RayError(f"{where}: cannot be written ({error.strerror}); {advice}") from None
