"""What every place that runs are written to offers, and what the runs carry there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from mlflow import MlflowClient

from sweep.headline import PackRun, TrialRun
from sweep.store import write_checked

PARENT_TAG = "mlflow.parentRunId"
FINGERPRINT_TAG = "records_fingerprint"
ARTIFACT = "records.parquet"
STATUS = {"complete": "FINISHED", "diverged": "FINISHED", "failed": "FAILED"}


class Backend(Protocol):
    """Where runs are written to."""

    def logged(self) -> dict[str, str]:
        """Parent run id -> fingerprint of every pack that is logged wholly."""

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
