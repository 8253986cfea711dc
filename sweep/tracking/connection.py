"""From an address to an experiment's runs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import sqlalchemy
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from sweep.errors import TrackingError
from sweep.files import TEMPORARY
from sweep.tracking.run_log import RunLog
from sweep.tracking.views import KIND_TAG
from sweep.uri import database_file, redacted, redacted_uri

_ARTIFACTS = "mlartifacts"  # beside SQLite's file, or in the results folder
# What MLflow raises when it, its database or its disk cannot be used.
_UNAVAILABLE = (MlflowException, SQLAlchemyError, OSError)


def connect(uri: str, experiment: str, results: Path) -> RunLog:
    """Open MLflow's store and the experiment in it, made if need be.

    Raises:
        TrackingError: the store cannot be used; the message says what to do.
    """
    with _saying_what_to_do(uri):
        _reach(uri)
        database = database_file(uri)
        if database is not None and not database.exists():
            _create_database(database)
        client = MlflowClient(uri)
        place = _artifacts(uri, experiment, database, results)
        number = _experiment_id(client, experiment, place)
        return RunLog(client, number, results, database, remote=place is None)


def experiments(uri: str) -> list[tuple[str, str]]:
    """Return the name and the id of every sweep's experiment in a store, the latest first.

    Raises:
        TrackingError: the store cannot be used; the message says what to do.
    """
    with _saying_what_to_do(uri):
        found = MlflowClient(uri).search_experiments(order_by=["last_update_time DESC"])
        return [(one.name, str(one.experiment_id)) for one in found if KIND_TAG in one.tags]


@contextlib.contextmanager
def _saying_what_to_do(uri: str) -> Iterator[None]:
    """End in one line where the store cannot be used."""
    shown = redacted_uri(uri)
    try:
        yield
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


def _artifacts(uri: str, experiment: str, database: Path | None, results: Path) -> str | None:
    """Where a new experiment keeps its artifacts; None if a server decides.

    Whoever can write runs into SQLite's file can write beside it, which may not be so of the
    results folder of the one who came first.
    """
    if urlparse(uri).scheme in ("http", "https"):
        return None
    root = results if database is None else database.absolute().parent
    return (root / _ARTIFACTS / experiment).as_uri()


def _experiment_id(client: MlflowClient, experiment: str, artifacts: str | None) -> str:
    """The experiment's id; it is made, or fetched from MLflow's bin, if need be."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        with contextlib.suppress(MlflowException):  # another driver may be faster
            return str(client.create_experiment(experiment, artifact_location=artifacts))
        found = client.get_experiment_by_name(experiment)
    if found is None:  # it was not another driver: let MLflow say what it is
        return str(client.create_experiment(experiment, artifact_location=artifacts))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _create_database(path: Path) -> None:
    """Make a SQLite file with MLflow's tables in one step.

    MLflow makes its tables by some sixty migrations in the file itself: a process killed among
    them leaves a file that no MLflow can open again.
    """
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=path.parent) as scratch:
        made = Path(scratch) / path.name
        MlflowClient(f"sqlite:///{made}").search_experiments(max_results=1)
        with contextlib.suppress(FileExistsError):  # another driver was faster
            path.hardlink_to(made)


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
