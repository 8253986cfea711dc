"""Kept networks as models of MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from robust.export import export
from sweep.driver import kept
from sweep.results import store, weights
from sweep.tracking import models
from sweep.tracking.run_log import RunLog
from sweep.tracking.sync import complete

UNKNOWN = "kept"  # stands for weights whose hash no record has


def with_weights(folder: store.Folder, trial_ids: frozenset[str]) -> dict[str, str]:
    """Return those of some trials whose weights are kept, and what tells these weights."""
    index = weights.find(folder.root)
    found: dict[str, str] = {}
    for path in folder.record_files():
        table = store.read_table(path).select(["trial_id", "weights_hash"])
        pairs = zip(*(column.to_pylist() for column in table.columns), strict=True)
        found |= {trial: told or UNKNOWN for trial, told in pairs if trial in trial_ids}
    return {trial: told for trial, told in found.items() if trial in index}


def log(run_log: RunLog, folder: store.Folder, wanted: Mapping[str, str]) -> int:
    """Log networks as models, with all their records, as far as MLflow lacks them.

    Args:
        run_log: of the experiment.
        folder: of the experiment.
        wanted: trial id -> what tells its weights.

    Returns:
        How many were logged.
    """
    new = models.missing_models(run_log, wanted)
    complete(run_log, folder, set(new))
    for trial in new:
        restored = kept.restore([folder], trial)
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "network.safetensors"
            rule, texts = restored.preprocessing, restored.metadata
            export(restored.net, file, preprocessing=rule, metadata=texts)
            models.log_model(run_log, trial, file, wanted[trial], restored.rows.write_csv())
    models.mark_selected(run_log, wanted)
    return len(new)
