"""Records set aside because they are to be made again.

results/<experiment>/replaced/<time>/   the files as they were, in folders of the same names

What is set aside is no record any more: no start, table or check reads it. So a network that is
trained again is recorded once at every moment, also where the new training is killed; until it is
done, tables lack it. Weights go first: a network without records is trained, and must then find no
weights of before. A copy is made before a file is changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sweep import files
from sweep.errors import DamagedError
from sweep.hashing import content_hash
from sweep.results import store, weights
from sweep.results.store import Folder


@dataclass(frozen=True)
class Unwanted:
    """What is to be made again.

    Attributes:
        trials: ids of networks, with all that is recorded of them.
        rows: attack -> ids of networks whose rows under it are measured again.
    """

    trials: frozenset[str] = frozenset()
    rows: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.trials or self.rows)


NOTHING = Unwanted()
_BEGUN = "renewing"  # a file of the experiment: which grid is being made again


def set_aside(folder: Folder, unwanted: Unwanted) -> int:
    """Set aside what is to be made again of an experiment's records, weights and curves.

    The caller holds the experiment's lock.

    Returns:
        How many files were changed.
    """
    time = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    aside = folder.path / "replaced" / time
    changed = _weights(folder, unwanted.trials, aside) if unwanted.trials else 0
    for kind in ("curves", "strong", "records"):
        for path in folder.tables(kind):
            changed += _table(path, kind, unwanted, aside)
    return changed


def begin(folder: Folder, trial_ids: Iterable[str]) -> None:
    """Note that all records of a grid were set aside and are being made again."""
    files.write_text(folder.path / _BEGUN, _hash_of(trial_ids) + "\n")


def begun(folder: Folder, trial_ids: Iterable[str]) -> bool:
    """Whether all records of a grid were set aside, and `end` was not reached since."""
    path = folder.path / _BEGUN
    return path.is_file() and path.read_bytes().strip() == _hash_of(trial_ids).encode()


def end(folder: Folder) -> None:
    """Note that what was set aside is made again."""
    (folder.path / _BEGUN).unlink(missing_ok=True)


def _hash_of(trial_ids: Iterable[str]) -> str:
    return content_hash(sorted(trial_ids))


def _table(path: Path, kind: str, unwanted: Unwanted, aside: Path) -> int:
    """Take rows out of a file; say whether there were any."""
    try:
        table = store.read_table(path)
    except (DamagedError, FileNotFoundError):  # a start of the sweep deals with it
        return 0
    drop = pc.is_in(table["trial_id"], value_set=pa.array(sorted(unwanted.trials), pa.string()))
    if kind == "records":
        drop = pc.or_(drop, _of_rows(table, unwanted.rows))
    if not pc.any(drop).as_py():
        return 0
    _keep(path, aside)
    left = table.filter(pc.invert(drop))
    written = path.stat().st_mtime_ns
    if left.num_rows:
        store.write_table(path, left)
        # As old as it was, so that of two records of a trial the newer one is still that; but not
        # quite, as what was read of a file is remembered by this time.
        os.utime(path, ns=(written, written + 1))
    else:
        path.unlink()
    return 1


def _of_rows(table: pa.Table, rows: Mapping[str, frozenset[str]]) -> pa.ChunkedArray:
    """Which rows of a table are to be measured again."""
    pairs = zip(table["attack"].to_pylist(), table["trial_id"].to_pylist(), strict=True)
    return pa.chunked_array(
        [[trial in rows.get(attack, ()) for attack, trial in pairs]], pa.bool_()
    )


def _weights(folder: Folder, trials: frozenset[str], aside: Path) -> int:
    changed = 0
    for path in weights.files_of(folder):
        try:
            there = set(weights.trials_of(path))
        except (DamagedError, FileNotFoundError):
            continue
        if there & trials:
            _keep(path, aside)
            changed += 1
    if changed:
        weights.prune(folder, _Others(trials))
    return changed


@dataclass(frozen=True)
class _Others:
    """Every trial but some."""

    trials: frozenset[str]

    def __contains__(self, trial: object) -> bool:
        return trial not in self.trials


def _keep(path: Path, aside: Path) -> None:
    """Copy a file; on a file system with links without its bytes."""
    copy = aside / path.parent.name / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        copy.hardlink_to(path)  # files are replaced as a whole, so that the copy stays as it is
    except OSError:
        with files.atomic(copy) as temporary:
            shutil.copy2(path, temporary)
