"""Runs in MLflow, through its public client: in a database or through a tracking server."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from sweep import output
from sweep.results.parquet import write_checked
from sweep.results.store import results_id
from sweep.tracking.runs import PackRun, TrialRun

PARENT_TAG = "mlflow.parentRunId"
FINGERPRINT_TAG = "records_fingerprint"
RESULTS_TAG = "results_id"  # which results folder a run shows: see `store.results_id`
ARTIFACT = "records.parquet"
STATUS = {"complete": "FINISHED", "diverged": "FINISHED", "failed": "FAILED"}


class RunLog:
    """An experiment's runs, among which may be those of other results folders."""

    def __init__(
        self, client: MlflowClient, experiment_id: str, results: Path, database: Path | None = None
    ) -> None:
        self.client = client
        self.experiment_id = experiment_id
        self.results = results
        self.database = database  # SQLite's file, if that is where the runs are

    @cached_property
    def results_id(self) -> str:
        """The id of the results folder, made when it is first needed."""
        return results_id(self.results)

    def logged(self) -> dict[str, str]:
        """Parent run id -> fingerprint of every pack of this results folder.

        The fingerprint of an unfinished parent is empty: its pack is to be logged again.
        """
        own = self._search(f"tags.kind = 'pack' and tags.{RESULTS_TAG} = '{self.results_id}'")
        return {run.info.run_id: _fingerprint(run) for run in own}

    def unclaimed(self) -> set[str]:
        """The fingerprints of packs logged by versions that did not note the results folder.

        They count as logged, whoever's they are, and are never deleted.
        """
        packs = self._search("tags.kind = 'pack'")
        found = {_fingerprint(run) for run in packs if RESULTS_TAG not in run.data.tags}
        return found - {""}

    def log(self, pack: PackRun) -> None:
        """Log the pack's trials, then say that the parent is finished."""
        ended = round(pack.ended * 1000)
        own = {RESULTS_TAG: self.results_id}
        tags = {**pack.tags, **own, FINGERPRINT_TAG: pack.fingerprint}
        parent = self._create(pack.name, tags, ended)
        for trial in pack.trials:
            started = round((pack.ended - _seconds(trial)) * 1000)
            tags = {**trial.tags, **own, PARENT_TAG: parent}
            run_id = self._create(trial.name, tags, started)
            self.client.log_batch(
                run_id,
                metrics=[Metric(name, value, ended, 0) for name, value in trial.metrics.items()],
                params=[Param(name, value) for name, value in trial.parameters.items()],
            )
            self._upload(run_id, trial)
            self.client.set_terminated(run_id, STATUS[trial.status], ended)
        self.client.set_terminated(parent, "FAILED" if pack.failed else "FINISHED", ended)

    def delete(self, parents: Iterable[str]) -> None:
        """Delete parents and their children as a user would: MLflow keeps them in its bin."""
        for parent in parents:
            for child in self._search(f"tags.`{PARENT_TAG}` = '{parent}'"):
                self.client.delete_run(child.info.run_id)
            self.client.delete_run(parent)

    def settle(self) -> None:
        """Let SQLite sample its tables after much was logged; others do so by themselves.

        Without, it sorts 45,000 runs by a metric in minutes, as it joins in the wrong order.
        """
        if self.database is not None:
            with contextlib.closing(sqlite3.connect(self.database)) as connection:
                connection.execute("PRAGMA analysis_limit=1000")
                connection.execute("ANALYZE")
                connection.commit()

    def _create(self, name: str, tags: Mapping[str, str], started: int) -> str:
        run = self.client.create_run(
            self.experiment_id,
            start_time=started,
            tags={**tags, "mlflow.source.name": "sweep/run.py"},
            run_name=name,
        )
        return str(run.info.run_id)

    def _upload(self, run_id: str, trial: TrialRun) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / ARTIFACT
            write_checked(path, trial.rows)
            try:
                self.client.log_artifact(run_id, str(path))
            except PermissionError:  # another person made the experiment
                output.warn_once(
                    f"MLflow: experiment {self.experiment_id} keeps its artifacts where this user "
                    f"may not write; the new runs have no {ARTIFACT}"
                )

    def _search(self, condition: str) -> list[Run]:
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, max_results=1000, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found


def _seconds(trial: TrialRun) -> float:
    return trial.metrics.get("train_seconds", 0.0) + trial.metrics.get("evaluation_seconds", 0.0)


def _fingerprint(run: Run) -> str:
    """Of a finished parent; empty for any other."""
    finished = run.info.status in ("FINISHED", "FAILED")
    return str(run.data.tags.get(FINGERPRINT_TAG, "")) if finished else ""
