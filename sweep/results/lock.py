"""One driver per experiment: a lock file that a dead holder cannot keep."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from sweep import output
from sweep.errors import LockedError, StorageError

NAME = ".lock"
# What file systems answer that have no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock while the block runs; say whether there is one to hold.

    The operating system releases the lock when its holder dies, however it dies, so a dead
    holder's lock is taken over. The file itself only says who holds it.

    Some file systems of clusters have no locks (Lustre without `flock`, some NFS). There the block
    runs with a warning: two drivers at once train packs twice and keep one record of each, so what
    is lost is time, while a refusal would rule these file systems out. The caller must then leave
    alone what another driver may be writing.

    Raises:
        LockedError: another driver holds it; the message says which process, where, since when.
        StorageError: the lock file cannot be opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    lock = FileLock(path, fallback_to_soft=False)  # a soft lock would outlive a dead holder
    with contextlib.ExitStack() as stack:
        held = _acquired(lock, folder, path)
        if held:
            stack.callback(lock.release)
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        path.write_text(json.dumps(holder), encoding="utf-8")
        yield held


def _acquired(lock: BaseFileLock, folder: Path, path: Path) -> bool:
    """Take the lock; return whether the file system has any."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LockedError(_held_message(folder, path)) from None
    except OSError as error:
        if error.filename is not None:
            raise StorageError(
                f"{path}: cannot be opened ({error.strerror}); it must be a file that this user "
                "may write: move it away"
            ) from None
        if error.errno not in _NO_LOCKS:
            raise
        output.warn(
            f"{folder}: its file system has no locks ({error.strerror}), so nothing stops a "
            "second sweep of this name; start only one at a time"
        )
        return False
    return True


def _held_message(folder: Path, path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {holder['pid']} on {holder['host']} since {holder['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "a process that is just starting"
    return (
        f"experiment {folder.name!r} is being run by {who} (lock {path}); "
        "wait for it, stop it, or give another name="
    )
