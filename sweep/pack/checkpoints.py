"""Checkpoints of packs in flight: where they lie, and which packs they belong to.

results/<experiment>/checkpoints/<pack_id>.pt       deleted once the pack's records are on disk
results/<experiment>/checkpoints/<pack_id>.deaths   how often its worker was killed; likewise
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict
from pathlib import Path

from robust.training.checkpoint import UNUSABLE, CheckpointFile, read_key
from sweep import files
from sweep.config.schema import Training
from sweep.grid.packing import Pack
from sweep.hashing import content_hash
from sweep.results import fingerprint
from sweep.results.store import Folder

_SUFFIX = ".pt"


def of_pack(
    folder: Folder, pack: Pack, training: Training, every_seconds: float
) -> CheckpointFile:
    """The checkpoint of a pack; its key names the trials, whose ids tell data and numerics.

    A training that other code began is not gone on with: the network would be of neither.
    """
    first = pack.first
    key = {
        "trials": [trial.trial_id for trial in pack.trials],
        "training": content_hash(asdict(training)),
        "source": fingerprint.of_training(first.defense, first.network),
    }
    path = _path(folder) / f"{pack.pack_id}{_SUFFIX}"
    return CheckpointFile(path, json.dumps(key), every_seconds)


def begun(folder: Folder) -> list[list[str]]:
    """The trial ids of each pack that has a checkpoint, the newest first."""
    found = [(path.stat().st_mtime_ns, path) for path in _files(folder)]
    return [trials for _, path in sorted(found, reverse=True) if (trials := _trials(path))]


def remove_finished(folder: Folder, pack: Pack) -> None:
    """Delete the checkpoints of a pack, and of its parts if it did not fit into memory."""
    recorded = {trial.trial_id for trial in pack.trials}
    for path in _files(folder):
        if path.stem == pack.pack_id or recorded.issuperset(_trials(path) or [""]):
            path.unlink(missing_ok=True)
    _deaths_file(folder, pack).unlink(missing_ok=True)
    (_path(folder) / f"{pack.pack_id}{UNUSABLE}").unlink(missing_ok=True)


def deaths(folder: Folder, pack: Pack) -> int:
    """How often the pack's worker was killed while its driver lived."""
    try:
        return int(_deaths_file(folder, pack).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0
    except ValueError:  # damaged: it is there, so there was one
        return 1


def add_death(folder: Folder, pack: Pack) -> None:
    """Count a death of the pack's worker, for the worker that tries it next."""
    files.write_text(_deaths_file(folder, pack), str(deaths(folder, pack) + 1))


def remove_stale(folder: Folder, finished: Container[str]) -> int:
    """Delete the checkpoints that no pack can go on from, and return how many.

    These are damaged ones, and those of which a trial is finished, as its others are packed anew.
    The rest stays, whatever is to be run now: another command under this name may ask for it.
    """
    stale = []
    for path in _files(folder):
        trials = _trials(path)
        if not trials or any(trial in finished for trial in trials):
            stale.append(path)
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _path(folder: Folder) -> Path:
    return folder.path / "checkpoints"


def _files(folder: Folder) -> list[Path]:
    return [path for path in _path(folder).glob(f"[!.]*{_SUFFIX}") if path.is_file()]


def _deaths_file(folder: Folder, pack: Pack) -> Path:
    return _path(folder) / f"{pack.pack_id}.deaths"


def _trials(path: Path) -> list[str]:
    """The trial ids of a checkpoint; none where it is damaged or has just been deleted."""
    key = read_key(path)
    try:
        trials: list[str] = json.loads(key or "")["trials"]
    except (ValueError, KeyError, TypeError):
        return []
    return trials
