"""Runs in MLflow's own database: SQLite's file, PostgreSQL's server and their like."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Table, and_, insert, select
from sqlalchemy.orm import aliased

from sweep.files import TEMPORARY
from sweep.results.parquet import write_checked
from sweep.results.store import results_id
from sweep.tracking.backend import (
    ARTIFACT,
    FINGERPRINT_TAG,
    PARENT_TAG,
    RESULTS_TAG,
    STATUS,
    seconds,
    upload,
)
from sweep.tracking.runs import PackRun, TrialRun


def create_database(uri: str) -> None:
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
        self,
        sql: SqlAlchemyStore,
        client: MlflowClient,
        experiment_id: str,
        location: str,
        results: Path,
    ) -> None:
        self.sql = sql
        self.client = client
        self.experiment_id = experiment_id
        self.location = location
        self.results = results

    @cached_property
    def results_id(self) -> str:
        """The id of the results folder, made when it is first needed."""
        return results_id(self.results)

    def logged(self) -> dict[str, str]:
        """Parent run id -> fingerprint; a pack that is there is there wholly."""
        mine = self.results_id
        return {run_id: found for run_id, found, owner in self._parents() if owner == mine}

    def unclaimed(self) -> set[str]:
        """Of parents without the tag."""
        return {found for _, found, owner in self._parents() if owner is None}

    def _parents(self) -> list[tuple[str, str, str | None]]:
        """Run id, fingerprint and results folder of every parent."""
        run, tag, owner = models.SqlRun, models.SqlTag, aliased(models.SqlTag)
        owned = and_(owner.run_uuid == tag.run_uuid, owner.key == RESULTS_TAG)
        query = (
            select(tag.run_uuid, tag.value, owner.value)
            .join(run, run.run_uuid == tag.run_uuid)
            .outerjoin(owner, owned)
            .where(tag.key == FINGERPRINT_TAG)
            .where(run.experiment_id == int(self.experiment_id))
            .where(run.lifecycle_stage == "active")
        )
        with self.sql.ManagedSessionMaker() as session:
            return [(row[0], row[1], row[2]) for row in session.execute(query)]

    def log(self, pack: PackRun) -> None:
        """Write artifacts first, then every row in one transaction."""
        parent = uuid.uuid4().hex
        rows: dict[Table, list[dict[str, Any]]] = {}
        status = "FAILED" if pack.failed else "FINISHED"
        own = {RESULTS_TAG: self.results_id}
        tags = {**pack.tags, **own, FINGERPRINT_TAG: pack.fingerprint}
        self._add(rows, parent, pack.name, status, tags, pack, pack.ended)
        for trial in pack.trials:
            run_id = uuid.uuid4().hex
            self._save(run_id, trial)
            tags = {**trial.tags, **own, PARENT_TAG: parent}
            started = pack.ended - seconds(trial)
            status = STATUS[trial.status]
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
            write_checked(folder / ARTIFACT, trial.rows)
        else:
            upload(self.client, run_id, trial)


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
