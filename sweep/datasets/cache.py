"""What is kept on disk: downloaded arrays, and the facts found when a data set was first read.

Files are written atomically, so a name that can be seen is complete. A lock, which the operating
system releases when its holder dies, keeps workers that start at once from downloading twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from sweep.datasets.values import DataOptions, DatasetInfo, OneHot, RawData
from sweep.files import atomic, write_text
from sweep.hashing import content_hash

# Raised when the facts of unchanged files would change, so that old ones are not used.
_FACTS_VERSION = 5
LOCK_TIMEOUT_SECONDS = 3600.0  # the largest download on a slow line


def cache_folder(options: DataOptions) -> Path:
    """Return the cache's folder: `data.root` for source openml, else one in the user's cache."""
    if options.source == "openml" and options.root is not None:
        return Path(options.root)
    base = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")  # noqa: PTH111
    if base.startswith("~"):  # no home is known, as of a container's unnamed user
        return Path(tempfile.gettempdir()) / f"robust-sweep-{os.getuid()}"
    return Path(base).absolute() / "robust-sweep"


@contextlib.contextmanager
def locked(path: Path, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Hold a lock file while the block runs, waiting for another holder to finish.

    Raises:
        ValueError: its folder cannot be written, or another process still holds it after
            `timeout` seconds.
    """
    lock = FileLock(path, fallback_to_soft=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout)
    except Timeout:
        raise ValueError(
            f"lock {path} is still held by another process after {timeout:g} s"
        ) from None
    except OSError as error:
        raise ValueError(
            f"{path.parent}: cannot be written ({error.strerror}); give a folder for downloads, "
            "as in data.root=/path/to/folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def save_arrays(path: Path, raw: RawData) -> None:
    """Write the arrays of a data set without a published split."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            x=raw.x,
            y=raw.y,
            classes=np.array(raw.classes),
            features=np.array(raw.features, dtype=np.str_),
            num_test=np.array(raw.num_test),
            notes=np.array(raw.notes, dtype=np.str_),
            groups=np.array(json.dumps([asdict(group) for group in raw.groups])),
        )


def load_arrays(path: Path) -> RawData | None:
    """Read what `save_arrays` wrote; None if there is no such file or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return RawData(
                x=arrays["x"],
                y=arrays["y"],
                classes=tuple(map(str, arrays["classes"])),
                features=tuple(map(str, arrays["features"])),
                num_test=int(arrays["num_test"]),
                notes=tuple(map(str, arrays["notes"])),
                groups=_groups(json.loads(str(arrays["groups"])) if "groups" in arrays else []),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _groups(written: Sequence[Mapping[str, Any]]) -> tuple[OneHot, ...]:
    """What `asdict` made of groups, as they were."""
    return tuple(OneHot(g["column"], tuple(g["values"]), tuple(g["inputs"])) for g in written)


def _facts_path(
    name: str, options: DataOptions, split_seed: int, files: Sequence[Path]
) -> Path | None:
    """Return where a data set's facts are kept; None if its files are not all there.

    The path depends on each file's size and time, so facts of a changed file are not found.
    """
    if not files:
        return None
    try:
        states = [(path, path.stat()) for path in files]
    except OSError:
        return None
    signature = content_hash(
        [
            *(_FACTS_VERSION, options.keep_target_column, split_seed),
            *([str(path.absolute()), state.st_size, state.st_mtime_ns] for path, state in states),
        ]
    )
    return cache_folder(options) / "facts" / f"{options.source}-{name}-{signature}.json"


def read_facts(
    name: str, options: DataOptions, split_seed: int, files: Sequence[Path]
) -> DatasetInfo | None:
    """Return the facts recorded when a data set was read from unchanged files, if any."""
    path = _facts_path(name, options, split_seed, files)
    if path is None:
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        for key in ("input_shape", "scalings", "notes", "feature_names", "class_names"):
            facts[key] = tuple(facts[key])
        facts["costs"] = None if facts["costs"] is None else tuple(facts["costs"])
        facts["groups"] = _groups(facts["groups"])
        return DatasetInfo(**facts)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_facts(
    info: DatasetInfo, options: DataOptions, split_seed: int, files: Sequence[Path]
) -> None:
    """Record a data set's facts for the next process; a cache that cannot be written is left."""
    path = _facts_path(info.name, options, split_seed, files)
    if path is not None:
        with contextlib.suppress(OSError):
            write_text(path, json.dumps(asdict(info), indent=1))
