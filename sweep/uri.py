"""Addresses that may hold credentials: how they are shown, and how they are tried.

A password belongs into the environment, as for MLflow itself: MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) for a server, PGPASSWORD or ~/.pgpass for
PostgreSQL. One that stands in an address works, and is shown nowhere.
"""

from __future__ import annotations

import base64
import os
import re
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request

DATABASE = Path("mlflow.db")  # where runs are recorded unless told otherwise
HIDDEN = "***"
_SCHEME = r"(?!sqlite|file)[A-Za-z][A-Za-z0-9+.-]*:/{1,3}"  # these two have no credentials
# Up to the last @: a password may hold any sign, also / and @.
_WHOLE = re.compile(rf"\A((?:[^\s:=]*=)?['\"]?\b{_SCHEME}).*@", re.S)
_WITHIN = re.compile(rf"(\b{_SCHEME})[^\s\"']*@")
_PARAMETER = re.compile(
    r"([?&;][^\s=&;?]*(?:password|passwd|pwd|token|secret)[^\s=&;]*=)[^\s&;\"']+", re.I
)


def redacted(text: str) -> str:
    """Return a message with credentials hidden in every address that it holds."""
    return _PARAMETER.sub(rf"\g<1>{HIDDEN}", _WITHIN.sub(rf"\g<1>{HIDDEN}@", text))


def redacted_uri(uri: str) -> str:
    """Return an address, or `key=address`, with its credentials hidden, whatever they hold."""
    return redacted(_WHOLE.sub(rf"\g<1>{HIDDEN}@", uri))


def redacted_values(value: Any) -> Any:
    """Return the same mappings, lists and texts, every text redacted."""
    if isinstance(value, str):
        return redacted_uri(value)
    if isinstance(value, Mapping):
        return {key: redacted_values(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [redacted_values(item) for item in value]
    return value


def request(uri: str) -> Request:
    """Return a request of an HTTP address, with its own credentials or the environment's.

    Raises:
        ValueError: the address has no host, or a port that is no number.
    """
    parts = urlsplit(uri)
    if not parts.hostname:
        raise ValueError("it names no host")
    port = "" if parts.port is None else f":{parts.port}"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    plain = urlunsplit((parts.scheme, f"{host}{port}", parts.path, parts.query, ""))
    made = Request(plain)
    user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
    password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        made.add_unredirected_header("Authorization", f"Basic {pair}")
    elif token:
        made.add_unredirected_header("Authorization", f"Bearer {token}")
    return made


def database_file(uri: str) -> Path | None:
    """The file of a SQLite address; None where it is none, or names none, or memory."""
    parts = urlsplit(uri)
    named = re.match(r"sqlite(\+\w+)?:///", uri, re.I) is not None
    if not named or parts.path.strip("/") in ("", ":memory:"):
        return None
    return Path(parts.path[1:])  # SQLAlchemy decodes nothing here


def why_no_database(path: Path) -> str | None:
    """Why a path cannot be a SQLite file that is written to, as the end of a sentence."""
    if path.is_dir():
        return f"{path} is a folder"
    if not path.parent.is_dir():
        return f"folder {path.parent} does not exist"
    if not path.exists():
        return None if _can_make(path.parent) else f"folder {path.parent} cannot be written to"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"{path} cannot be written to"
    if not _can_make(path.parent):  # SQLite lays a journal beside the file
        return f"folder {path.parent} cannot be written to"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("select count(*) from sqlite_master").fetchone()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        # Another process may be writing: that it is a database is known then.
        return None if "locked" in str(error) else f"{path} cannot be opened ({error})"
    except sqlite3.DatabaseError as error:
        return f"{path} is no SQLite database ({error})"
    return None


def _can_make(folder: Path) -> bool:
    """Whether files can be made in a folder; leaves none."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
