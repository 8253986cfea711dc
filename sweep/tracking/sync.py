"""Bring MLflow up to date with the records of an experiment.

MLflow is a view of the records. A records file is the unit of work: once its networks are logged,
the run of the first of them gets a mark that tells the file's content, so that a start need not
look at every run. A process that is killed in between leaves no mark, and what it logged is found
by trial id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.results import store
from sweep.tracking.detail import FULL, SUMMARY, satisfies
from sweep.tracking.runs import NetworkRun, read_runs

if TYPE_CHECKING:
    from sweep.tracking.run_log import RunLog


def sync(run_log: RunLog, folder: store.Folder, detail: str) -> int:
    """Make MLflow show exactly an experiment's records: log what it lacks, delete what is stale.

    Of the runs that are there, only those of the same results folder are touched.

    Args:
        detail: `full` or `summary`.

    Returns:
        How many records files, one for each pack, were not in MLflow as they are.
    """
    marks = run_log.marks
    recorded = store.scan(folder.record_files())
    new = [path for path in recorded if log_file(run_log, folder, path, detail)]
    if new or marks.keys() - {path.name for path in recorded}:
        trials = {trial for trials in recorded.values() for trial in trials}
        run_log.delete([trial for trial in run_log.networks if trial not in trials])
    run_log.describe(detail)
    if new:
        run_log.settle()
    return len(new)


def log_file(run_log: RunLog, folder: store.Folder, path: Path, detail: str) -> bool:
    """Log the networks of a records file; say whether MLflow did not have it as it is."""
    if is_logged(run_log.marks.get(path.name, ""), path, detail):
        return False
    mark = mark_of(path, detail)  # first: what is written meanwhile is another file's content
    run_log.log(path.name, mark, _runs_of(run_log, folder, path), detail)
    return True


def complete(run_log: RunLog, folder: store.Folder, trial_ids: Set[str]) -> None:
    """Log all there is of some networks, whatever is logged of the others."""
    for path, own in store.scan(folder.record_files()).items():
        if trial_ids & own.keys():
            runs = _runs_of(run_log, folder, path)
            run_log.put([run for run in runs if run.trial_id in trial_ids], FULL)


def _runs_of(run_log: RunLog, folder: store.Folder, path: Path) -> list[NetworkRun]:
    others = _files_with(folder, path, set(run_log.networks))
    curves = [folder.curves(file.stem) for file in (path, *others)]
    return read_runs(path, others, [file for file in curves if file.is_file()])


def _files_with(folder: store.Folder, path: Path, logged: Set[str]) -> list[Path]:
    """Return other files with rows of the same networks: where none has a run there are none."""
    trials = store.statuses(path).keys() & logged
    if not trials:
        return []
    scanned = store.scan(folder.record_files())
    return [other for other, own in scanned.items() if other != path and trials & own.keys()]


def mark_of(path: Path, detail: str) -> str:
    """Return what tells a records file's content, and in which detail it is logged."""
    with path.open("rb") as file:
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()[:32]} {detail}"


def is_logged(mark: str, path: Path, detail: str) -> bool:
    """Whether a mark says that a file was logged as it is, in this detail or a larger one."""
    return any(mark == mark_of(path, d) for d in (FULL, SUMMARY) if satisfies(d, detail))


def num_trials(folder: store.Folder) -> int:
    """Return how many networks an experiment has, or will have."""
    recorded = {t for trials in store.scan(folder.record_files()).values() for t in trials}
    return max(len(recorded), _asked(folder.manifest))


def _asked(manifest: Path) -> int:
    """Return how many networks a manifest asks for; 0 where it is missing or damaged."""
    try:
        return int(json.loads(manifest.read_bytes())["num_trials"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
