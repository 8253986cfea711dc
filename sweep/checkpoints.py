"""Checkpoints of packs in flight: where they lie, and which packs they belong to.

results/<experiment>/checkpoints/<pack_id>.pt; deleted once the pack's records are on disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from robust.checkpoint import UNUSABLE, CheckpointFile, read_key
from sweep.config import Training
from sweep.packing import Pack
from sweep.store import Folder
from sweep.trial import content_hash

_SUFFIX = ".pt"


def of_pack(
    folder: Folder, pack: Pack, training: Training, every_seconds: float
) -> CheckpointFile:
    """The checkpoint of a pack; its key names the trials, whose ids tell data and numerics."""
    key = {
        "trials": [trial.trial_id for trial in pack.trials],
        "training": content_hash(asdict(training)),
    }
    path = _path(folder) / f"{pack.pack_id}{_SUFFIX}"
    return CheckpointFile(path, json.dumps(key), every_seconds)


def begun(folder: Folder) -> list[list[str]]:
    """The trial ids of each pack that has a checkpoint, the newest first."""
    found = [(path.stat().st_mtime_ns, path) for path in _path(folder).glob(f"[!.]*{_SUFFIX}")]
    return [trials for _, path in sorted(found, reverse=True) if (trials := _trials(path))]


def remove_finished(folder: Folder, pack: Pack) -> None:
    """Delete the checkpoints of a pack, and of its parts if it did not fit into memory."""
    recorded = {trial.trial_id for trial in pack.trials}
    for path in _path(folder).glob(f"[!.]*{_SUFFIX}"):
        if path.stem == pack.pack_id or recorded.issuperset(_trials(path) or [""]):
            path.unlink(missing_ok=True)
    (_path(folder) / f"{pack.pack_id}{UNUSABLE}").unlink(missing_ok=True)


def remove_stale(folder: Folder, packs: Iterable[Pack]) -> int:
    """Delete the checkpoints that belong to none of the packs to be run; return how many."""
    wanted = {pack.pack_id for pack in packs}
    stale = [p for p in _path(folder).glob(f"[!.]*{_SUFFIX}") if p.stem not in wanted]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _path(folder: Folder) -> Path:
    return folder.path / "checkpoints"


def _trials(path: Path) -> list[str]:
    """The trial ids of a checkpoint; none where it is damaged or has just been deleted."""
    key = read_key(path)
    try:
        trials: list[str] = json.loads(key or "")["trials"]
    except (ValueError, KeyError, TypeError):
        return []
    return trials
