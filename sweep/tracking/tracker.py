"""Keep MLflow up to date with the records, in a thread that never stops the sweep."""

from __future__ import annotations

import contextlib
import queue
import shlex
import sys
import threading
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import urlopen

from sweep import arguments, files, output
from sweep.errors import TrackingError, UserError
from sweep.results import store
from sweep.results.lock import locked
from sweep.tracking import detail as details
from sweep.tracking.sync import log_file, num_trials, sync
from sweep.uri import DATABASE, database_file, redacted, redacted_uri, request, why_no_database

if TYPE_CHECKING:
    from sweep.tracking.run_log import RunLog

SYNC_COMMAND = "python -m sweep.tracking sync"
_USAGE = f"{SYNC_COMMAND} [experiment=NAME] [results=DIR] [uri=URI] [detail=auto|full|summary]"
_DEFAULTS = {"experiment": "", "results": "results", "uri": f"sqlite:///{DATABASE}"}
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_HEALTH_TIMEOUT_S = 10.0
_PATIENCE_S = 3.0  # before saying what is being waited for


def sync_command(root: Path, uri: str) -> str:
    """Return the command that logs what MLflow lacks of the results in a folder.

    Args:
        root: the folder of all experiments' results.
        uri: of MLflow's store; shown without its password.
    """
    given = {"results": str(root), "uri": redacted_uri(uri)}
    usual = {"results": str(Path(_DEFAULTS["results"]).absolute()), "uri": _DEFAULTS["uri"]}
    other = (f"{key}={shlex.quote(given[key])}" for key in given if given[key] != usual[key])
    return " ".join([SYNC_COMMAND, *other])


def check_uri(uri: str) -> None:
    """Refuse an address that cannot be MLflow's, before anything is trained.

    Raises:
        TrackingError: the address is wrong or nothing answers there; says what to do.
    """
    shown = redacted_uri(uri)
    advice = "correct it, or set tracking.enabled=false and sync later"
    try:
        scheme = urlparse(uri).scheme.split("+")[0]
    except ValueError as error:
        raise TrackingError(f"tracking.uri={shown}: no address ({error}); {advice}") from None
    if scheme in ("http", "https"):
        _check_server(uri, shown, advice)
    elif scheme not in _DATABASES:
        raise TrackingError(
            f"tracking.uri={shown}: must be a database (sqlite:///mlflow.db, postgresql://...) or "
            f"a tracking server (http://...); {advice}"
        )
    elif scheme == "sqlite":
        path = database_file(uri)
        reason = (
            "names no file, as sqlite:///mlflow.db does" if path is None else why_no_database(path)
        )
        if reason is not None:
            raise TrackingError(f"tracking.uri={shown}: {reason}; {advice}")
    else:
        # Slow to import, and only a database needs it here.
        from sweep.tracking.connection import connect

        connect(uri, "Default", Path("results"))


def _check_server(uri: str, shown: str, advice: str) -> None:
    try:
        with urlopen(request(f"{uri.rstrip('/')}/health"), timeout=_HEALTH_TIMEOUT_S):
            return
    except HTTPError as error:
        error.close()
        reason = f"the server answers {error.code} {error.reason}"
        if error.code in (401, 403):
            advice = f"set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, {advice}"
    except (OSError, ValueError, HTTPException) as error:
        reason = f"no MLflow server answers there ({redacted(str(error))})"
        advice = f"start it, {advice}"
    raise TrackingError(f"tracking.uri={shown}: {reason}; {advice}")


class Tracker:
    """The one writer to MLflow: a thread of the driver."""

    def __init__(self, folder: store.Folder, uri: str, detail: str = details.AUTO) -> None:
        self.folder = folder
        self.uri = uri
        self.files = 0  # of records, logged
        self.error: str | None = None
        self.experiment_id = ""  # MLflow's, once it is reached
        size = num_trials(folder)
        self._detail = details.decide(detail, size)
        self.remark = details.sentence(self._detail, detail, size)  # for the person who looks
        self._queue: queue.Queue[Path | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def start(self) -> None:
        """Begin by logging what MLflow lacks of the records that are there."""
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether it has begun."""
        return self._thread.ident is not None

    def add(self, path: Path) -> None:
        """Log a new records file soon."""
        self._queue.put(path)

    def close(self, *, resync: bool) -> bool:
        """Wait until everything is logged.

        Args:
            resync: compare MLflow with the records once more, as packs were retried.

        Returns:
            Whether MLflow has all records.
        """
        if self.started:
            self._finish_queue()
            if self.error is None and not resync:
                return True
        self.error = None
        self._try_sync()
        return self.error is None

    def _finish_queue(self) -> None:
        self._queue.put(None)
        self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            with contextlib.suppress(OSError):
                print("MLflow: logging what it still lacks ...", flush=True)
            self._thread.join()

    def _work(self) -> None:
        run_log = self._try_sync()
        before = self.files
        while (path := self._queue.get()) is not None:
            if run_log is not None and not self._tried(self._log, run_log, path):
                run_log = None
        if run_log is not None and self.files > before:
            self._tried(run_log.describe, self._detail)
            self._tried(run_log.settle)

    def _log(self, run_log: RunLog, path: Path) -> None:
        self.files += log_file(run_log, self.folder, path, self._detail)

    def _tried(self, action: Callable[..., None], *arguments: object) -> bool:
        """Do it; say whether that went well."""
        try:
            action(*arguments)
        except Exception as error:  # MLflow must never stop the sweep
            self._warn(error)
            return False
        return True

    def _try_sync(self) -> RunLog | None:
        try:
            # Takes seconds: not before it is needed.
            from sweep.tracking.connection import connect

            run_log = connect(self.uri, self.folder.experiment, self.folder.root)
            self.experiment_id = run_log.experiment_id
            self.files += sync(run_log, self.folder, self._detail)
        except Exception as error:  # MLflow must never stop the sweep
            self._warn(error)
            return None
        return run_log

    def _warn(self, error: Exception) -> None:
        self.error = redacted(" ".join(str(error).split()))[:300] or type(error).__name__
        output.warn(
            f"MLflow was not brought up to date ({self.error}); the sweep goes on, "
            f"and `{sync_command(self.folder.root, self.uri)}` logs what is missing"
        )


def main(argv: Sequence[str]) -> int:
    """The command `python -m sweep.tracking sync [key=value ...]`."""
    try:
        _, options, words = arguments.parse(
            argv, ["sync"], {**_DEFAULTS, "detail": details.AUTO}, _USAGE
        )
        if words:
            raise ValueError(f"unknown argument {words[0]!r}; usage: {_USAGE}")
        details.check(options["detail"])
        reason = files.why_no_folder(options["results"])
        if reason is not None:
            raise ValueError(f"results={options['results']}: {reason}")
        root = Path(options["results"]).absolute()
        check_uri(options["uri"])
        for folder in store.folders(root, options["experiment"]):
            with locked(folder.path):
                _sync_folder(folder, options["uri"], options["detail"])
    except (UserError, ValueError, OSError) as error:
        print(f"error: {redacted(str(error))}", file=sys.stderr)
        return 2
    return 0


def _sync_folder(folder: store.Folder, uri: str, asked: str) -> None:
    from sweep.tracking.connection import connect  # slow to import

    store.set_damaged_aside(folder)
    store.consolidate(folder)
    size = num_trials(folder)
    detail = details.decide(asked, size)
    logged = sync(connect(uri, folder.experiment, folder.root), folder, detail)
    print(f"{folder.experiment}: {logged} packs logged")
    if remark := details.sentence(detail, asked, size):
        print(remark)
