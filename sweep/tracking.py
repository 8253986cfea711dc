"""MLflow: one parent run per pack, one child run per trial. The only module that imports MLflow.

MLflow is a view of the records: whatever it lacks can be logged again from them. A pack is
logged exactly once. In a database that is one transaction; through a tracking server, where
there is none, a parent run is terminated last, and one that never was is deleted and logged again.

    python -m sweep.tracking sync [experiment=NAME] [results=results] [uri=sqlite:///mlflow.db]
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlparse
from urllib.request import url2pathname

# MLflow reads these when it is imported.
os.environ.update({"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"})
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy import Table, insert, select
from sqlalchemy.exc import SQLAlchemyError

from sweep.errors import TrackingError
from sweep.files import TEMPORARY
from sweep.headline import PackRun, TrialRun

PARENT_TAG = "mlflow.parentRunId"
_FINGERPRINT_TAG = "records_fingerprint"
_ARTIFACT = "records.parquet"
_STATUS = {"complete": "FINISHED", "diverged": "FINISHED", "failed": "FAILED"}
# What MLflow raises when it, its database or its disk cannot be used.
_UNAVAILABLE = (MlflowException, SQLAlchemyError, OSError)

for _name in ("mlflow", "alembic", "sqlalchemy"):
    logging.getLogger(_name).setLevel(logging.ERROR)


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


def connect(uri: str, experiment: str, results: Path) -> Backend:
    """Open MLflow's store and the experiment in it, made if need be.

    Raises:
        TrackingError: the store cannot be used; the message says what to do.
    """
    try:
        _create_database(uri)
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        is_server = urlparse(uri).scheme in ("http", "https")
        location = None if is_server else (results / "mlartifacts" / experiment).as_uri()
        if found is None:
            client.create_experiment(experiment, artifact_location=location)
            found = client.get_experiment_by_name(experiment)
        if is_server:
            return Client(client, found.experiment_id)
        sql = _get_store(uri)
    except _UNAVAILABLE as error:
        raise TrackingError(
            f"tracking.uri={uri}: MLflow cannot be used there ({_first_line(error)}); start the "
            "server, correct the address, or set tracking.enabled=false and sync later"
        ) from None
    if not isinstance(sql, SqlAlchemyStore):
        raise TrackingError(
            f"tracking.uri={uri}: must be a database (sqlite:///mlflow.db, postgresql://...) or a "
            "tracking server (http://...)"
        )
    return Database(sql, client, found.experiment_id, found.artifact_location)


def _create_database(uri: str) -> None:
    """Make a SQLite file that does not exist yet, with MLflow's tables, in one step.

    MLflow makes its tables by some sixty migrations in the file itself: a process killed among
    them leaves a file that no MLflow can open again.
    """
    path = Path(urlparse(uri).path[1:])
    if urlparse(uri).scheme != "sqlite" or path.name == "" or path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=path.parent) as scratch:
        made = Path(scratch) / path.name
        SqlAlchemyStore(f"sqlite:///{made}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
        with contextlib.suppress(FileExistsError):  # another driver was faster
            path.hardlink_to(made)


class Database:
    """Writes runs with one transaction per pack: hundreds of rows at once, all or none.

    MLflow's own calls take a transaction each and 45 to 130 ms per run.
    """

    def __init__(
        self, sql: SqlAlchemyStore, client: MlflowClient, experiment_id: str, location: str
    ) -> None:
        self.sql = sql
        self.client = client
        self.experiment_id = experiment_id
        self.location = location

    def logged(self) -> dict[str, str]:
        """Parent run id -> fingerprint; a pack that is there is there wholly."""
        run, tag = models.SqlRun, models.SqlTag
        query = (
            select(tag.run_uuid, tag.value)
            .join(run, run.run_uuid == tag.run_uuid)
            .where(tag.key == _FINGERPRINT_TAG)
            .where(run.experiment_id == int(self.experiment_id))
            .where(run.lifecycle_stage == "active")
        )
        with self.sql.ManagedSessionMaker() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    def log(self, pack: PackRun) -> None:
        """Write artifacts first, then every row in one transaction."""
        parent = uuid.uuid4().hex
        rows: dict[Table, list[dict[str, Any]]] = {}
        status = "FAILED" if pack.failed else "FINISHED"
        tags = {**pack.tags, _FINGERPRINT_TAG: pack.fingerprint}
        self._add(rows, parent, pack.name, status, tags, pack, pack.ended)
        for trial in pack.trials:
            run_id = uuid.uuid4().hex
            self._save(run_id, trial)
            tags = {**trial.tags, PARENT_TAG: parent}
            started = pack.ended - _seconds(trial)
            status = _STATUS[trial.status]
            self._add(rows, run_id, trial.name, status, tags, pack, started)
            _extend(rows, models.SqlParam, run_id, trial.parameters)
            timestamp = {"timestamp": round(pack.ended * 1000), "step": 0, "is_nan": False}
            for model in (models.SqlMetric, models.SqlLatestMetric):
                _extend(rows, model, run_id, trial.metrics, timestamp)
        with self.sql.ManagedSessionMaker(read_only=False) as session:
            for table, values in rows.items():
                if values:  # trials that failed have no metrics
                    session.execute(insert(table), values)

    def delete(self, parents: Iterable[str]) -> None:
        """Delete runs as a user would: MLflow keeps them in its bin."""
        run, tag = models.SqlRun, models.SqlTag
        for parent in parents:
            query = (
                select(tag.run_uuid)
                .join(run, run.run_uuid == tag.run_uuid)
                .where(tag.key == PARENT_TAG, tag.value == parent)
                .where(run.lifecycle_stage == "active")
            )
            with self.sql.ManagedSessionMaker() as session:
                children = [row[0] for row in session.execute(query)]
            for run_id in (*children, parent):
                self.client.delete_run(run_id)

    def settle(self) -> None:
        """Let SQLite sample its tables; other databases do so by themselves.

        Without, it sorts 45,000 runs by a metric in minutes, as it joins in the wrong order.
        """
        if self.sql.db_type == "sqlite":
            with self.sql.engine.begin() as connection:
                connection.exec_driver_sql("PRAGMA analysis_limit=1000")
                connection.exec_driver_sql("ANALYZE")

    def _add(
        self,
        rows: dict[Table, list[dict[str, Any]]],
        run_id: str,
        name: str,
        status: str,
        tags: Mapping[str, str],
        pack: PackRun,
        started: float,
    ) -> None:
        run = {
            "run_uuid": run_id,
            "name": name,
            "experiment_id": int(self.experiment_id),
            "artifact_uri": f"{self.location}/{run_id}/artifacts",
            "status": status,
            "start_time": round(started * 1000),
            "end_time": round(pack.ended * 1000),
            "lifecycle_stage": "active",
            "source_type": "LOCAL",
            "source_name": "sweep/run.py",
            "source_version": "",
            "entry_point_name": "",
            "user_id": "",
        }
        rows.setdefault(models.SqlRun.__table__, []).append(run)
        names = {"mlflow.runName": name, "mlflow.source.name": "sweep/run.py"}
        _extend(rows, models.SqlTag, run_id, {**tags, **names})

    def _save(self, run_id: str, trial: TrialRun) -> None:
        location = urlparse(self.location)
        if location.scheme in ("", "file"):
            folder = Path(url2pathname(location.path)) / run_id / "artifacts"
            folder.mkdir(parents=True)
            pq.write_table(trial.rows, folder / _ARTIFACT)
        else:
            _upload(self.client, run_id, trial)


def _extend(
    rows: dict[Table, list[dict[str, Any]]],
    model: Any,
    run_id: str,
    values: Mapping[str, object],
    constants: Mapping[str, object] | None = None,
) -> None:
    more = constants or {}
    rows.setdefault(model.__table__, []).extend(
        {"run_uuid": run_id, "key": key, "value": value, **more} for key, value in values.items()
    )


class Client:
    """Writes runs through a tracking server, one call after another."""

    def __init__(self, client: MlflowClient, experiment_id: str) -> None:
        self.client = client
        self.experiment_id = experiment_id

    def logged(self) -> dict[str, str]:
        """Parent run id -> fingerprint; empty for an unfinished parent, to be logged again."""
        return {
            run.info.run_id: run.data.tags[_FINGERPRINT_TAG]
            if run.info.status in ("FINISHED", "FAILED")
            else ""
            for run in self._search("tags.kind = 'pack'")
        }

    def log(self, pack: PackRun) -> None:
        """Log the pack's trials, then say that the parent is finished."""
        ended = round(pack.ended * 1000)
        tags = {**pack.tags, _FINGERPRINT_TAG: pack.fingerprint}
        parent = self._create(pack.name, tags, ended)
        for trial in pack.trials:
            started = round((pack.ended - _seconds(trial)) * 1000)
            run_id = self._create(trial.name, {**trial.tags, PARENT_TAG: parent}, started)
            self.client.log_batch(
                run_id,
                metrics=[Metric(name, value, ended, 0) for name, value in trial.metrics.items()],
                params=[Param(name, value) for name, value in trial.parameters.items()],
            )
            _upload(self.client, run_id, trial)
            self.client.set_terminated(run_id, _STATUS[trial.status], ended)
        self.client.set_terminated(parent, "FAILED" if pack.failed else "FINISHED", ended)

    def delete(self, parents: Iterable[str]) -> None:
        """Delete runs as a user would: MLflow keeps them in its bin."""
        for parent in parents:
            for child in self._search(f"tags.`{PARENT_TAG}` = '{parent}'"):
                self.client.delete_run(child.info.run_id)
            self.client.delete_run(parent)

    def settle(self) -> None:
        """Nothing: the server's database is its own."""

    def _create(self, name: str, tags: Mapping[str, str], started: int) -> str:
        run = self.client.create_run(
            self.experiment_id, start_time=started, tags=dict(tags), run_name=name
        )
        return str(run.info.run_id)

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


def _upload(client: MlflowClient, run_id: str, trial: TrialRun) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / _ARTIFACT
        pq.write_table(trial.rows, path)
        client.log_artifact(run_id, str(path))


def _seconds(trial: TrialRun) -> float:
    return trial.metrics.get("train_seconds", 0.0) + trial.metrics.get("evaluation_seconds", 0.0)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


if __name__ == "__main__":
    from sweep.tracker import main

    sys.exit(main(sys.argv[1:]))
