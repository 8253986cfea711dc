"""What every place that runs are written to offers, and what the runs carry there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from mlflow import MlflowClient

from sweep.results.parquet import write_checked
from sweep.tracking.runs import PackRun, TrialRun

PARENT_TAG = "mlflow.parentRunId"
FINGERPRINT_TAG = "records_fingerprint"
RESULTS_TAG = "results_id"  # which results folder a run shows: see `store.results_id`
ARTIFACT = "records.parquet"
STATUS = {"complete": "FINISHED", "diverged": "FINISHED", "failed": "FAILED"}


class Backend(Protocol):
    """Where runs are written to; it is shared with other results folders and their runs."""

    def logged(self) -> dict[str, str]:
        """Parent run id -> fingerprint of every pack of this results folder that is logged.

        A pack that is not there wholly has an empty fingerprint.
        """

    def unclaimed(self) -> set[str]:
        """The fingerprints of packs logged by versions that did not note the results folder.

        They count as logged, whoever's they are, and are never deleted.
        """

    def log(self, pack: PackRun) -> None:
        """Log one pack."""

    def delete(self, parents: Iterable[str]) -> None:
        """Delete parent runs and their children."""

    def settle(self) -> None:
        """Make searching quick after much was logged."""


def upload(client: MlflowClient, run_id: str, trial: TrialRun) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / ARTIFACT
        write_checked(path, trial.rows)
        client.log_artifact(run_id, str(path))


def seconds(trial: TrialRun) -> float:
    return trial.metrics.get("train_seconds", 0.0) + trial.metrics.get("evaluation_seconds", 0.0)
