"""From an address to the place that runs are written to."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import urlparse

import sqlalchemy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking._tracking_service.utils import _get_store
from sqlalchemy.exc import SQLAlchemyError

from sweep.errors import TrackingError
from sweep.tracking.backend import Backend
from sweep.tracking.database import Database, create_database
from sweep.tracking.server import Server
from sweep.uri import redacted, redacted_uri

_ARTIFACTS = "mlartifacts"  # in the results folder
# What MLflow raises when it, its database or its disk cannot be used.
_UNAVAILABLE = (MlflowException, SQLAlchemyError, OSError)


def connect(uri: str, experiment: str, results: Path) -> Backend:
    """Open MLflow's store and the experiment in it, made if need be.

    Raises:
        TrackingError: the store cannot be used; the message says what to do.
    """
    shown = redacted_uri(uri)
    try:
        _reach(uri)
        create_database(uri)
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        is_server = urlparse(uri).scheme in ("http", "https")
        location = None if is_server else (results / _ARTIFACTS / experiment).as_uri()
        if found is None:
            with contextlib.suppress(MlflowException):  # another driver may be faster
                client.create_experiment(experiment, artifact_location=location)
            found = client.get_experiment_by_name(experiment)
        if found is None:  # it was not another driver: let MLflow say what it is
            client.create_experiment(experiment, artifact_location=location)
            found = client.get_experiment_by_name(experiment)
        if is_server:
            return Server(client, found.experiment_id, results)
        sql = _get_store(uri)
    except ImportError as error:
        raise TrackingError(
            f"tracking.uri={shown}: the database's driver is not installed ({error}); add it, as "
            "pip install '.[postgres]' does for postgresql+psycopg2://..., or set "
            "tracking.enabled=false and sync later"
        ) from None
    except _UNAVAILABLE as error:
        raise TrackingError(
            f"tracking.uri={shown}: MLflow cannot be used there ({_first_line(error)}); start the "
            "server, correct the address, or set tracking.enabled=false and sync later"
        ) from None
    if not isinstance(sql, SqlAlchemyStore):
        raise TrackingError(
            f"tracking.uri={shown}: must be a database (sqlite:///mlflow.db, postgresql://...) "
            "or a tracking server (http://...)"
        )
    where = found.artifact_location
    # Artifacts of another results folder's experiment lie there, where we may not write.
    if location is not None and urlparse(where).path.endswith(f"/{_ARTIFACTS}/{experiment}"):
        where = location
    return Database(sql, client, found.experiment_id, where, results)


def _reach(uri: str) -> None:
    """Load a database's driver and connect once: MLflow itself tries for minutes.

    Raises:
        ImportError: the driver is not installed.
        SQLAlchemyError: the address is malformed, or nothing answers there.
    """
    if urlparse(uri).scheme in ("http", "https", "sqlite"):
        return
    engine = sqlalchemy.create_engine(uri)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _first_line(error: BaseException) -> str:
    return (redacted(str(error)).strip().splitlines() or [type(error).__name__])[0][:300]
