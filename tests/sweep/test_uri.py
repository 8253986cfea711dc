"""Credentials are shown nowhere, and are taken from the environment as MLflow takes them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from robust_sweep import run
from sweep.config.schema import Tracking
from sweep.driver import report
from sweep.driver.plan import Plan
from sweep.errors import TrackingError
from sweep.tracking import tracker
from sweep.uri import database_file, redacted, redacted_uri, redacted_values, request
from tests.sweep.helpers import config

SECRET = "hunter2"
ADDRESSES = {
    "postgresql://u:hunter2@h:5432/d": "postgresql://***@h:5432/d",
    "postgresql+psycopg2://u:hunter2@h/d": "postgresql+psycopg2://***@h/d",
    "http://u:hunter2@h:5000": "http://***@h:5000",
    "https://hunter2@h/x": "https://***@h/x",
    "mysql://u:hun@ter2/hunter2@h/d": "mysql://***@h/d",
    "mysql://u:hunter2 hunter2@h/d": "mysql://***@h/d",
    "mysql://u:'hunter2@h/d": "mysql://***@h/d",
    "mysql://u:hunter2\nhunter2@h/d": "mysql://***@h/d",
    "HTTP://u:hunter2@h": "HTTP://***@h",
    "postgresql://h/d?user=u&password=hunter2&x=1": "postgresql://h/d?user=u&password=***&x=1",
    "postgresql://h/d?sslpassword=hunter2": "postgresql://h/d?sslpassword=***",
    "tracking.uri=mysql://u:hunter2@h/d": "tracking.uri=mysql://***@h/d",
    "tracking.uri='mysql://u:hunter2@h/d'": "tracking.uri='mysql://***@h/d'",
    "+tracking.uri=mysql://u:a b hunter2@h/d": "+tracking.uri=mysql://***@h/d",
    "sqlite:////home/me@work/mlflow.db": "sqlite:////home/me@work/mlflow.db",
    "http://h:5000": "http://h:5000",
    "paths.results=/home/me@work/results": "paths.results=/home/me@work/results",
}


@pytest.mark.parametrize(("uri", "shown"), ADDRESSES.items())
def test_address_is_shown_without_its_credentials(uri: str, shown: str) -> None:
    assert redacted_uri(uri) == shown
    assert redacted_uri(shown) == shown


def test_message_is_shown_without_the_credentials_of_any_address() -> None:
    text = "no http://u:hunter2@h:1 and (mysql://v:hunter2@g/d): ask me@work"
    assert redacted(text) == "no http://***@h:1 and (mysql://***@g/d): ask me@work"


def test_configuration_is_shown_without_credentials() -> None:
    uri = "mysql://u:hunter2@h/d"
    given = {"tracking": {"uri": uri}, "list": [uri, 3], "pair": (uri, None), "share": 0.5}
    shown = redacted_values(given)
    assert SECRET not in json.dumps(shown)
    assert shown["share"] == 0.5
    assert shown["list"][1] == 3


def test_password_is_neither_printed_nor_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"http://u:{SECRET}@127.0.0.1:1"
    monkeypatch.setattr(tracker, "_check_server", lambda *_: None)  # it went down since

    def fails(*_: object) -> None:
        raise TrackingError(f"no answer from {uri}")

    monkeypatch.setattr("sweep.tracking.connection.connect", fails)
    argv = ["+experiment=quickstart", "debug=true", "grid.network=mlp-1x8", "grid.defense=nominal"]
    assert run.main([*argv, f"paths.results={tmp_path}", f"tracking.uri={uri}"]) == 0
    captured = capsys.readouterr()
    assert "http://***@127.0.0.1:1" in captured.out
    assert "http://***@127.0.0.1:1" in captured.err
    assert SECRET not in captured.out + captured.err
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


def test_printed_command_of_a_database_holds_no_password(tmp_path: Path) -> None:
    small = config(tmp_path, tracking=Tracking(uri=f"postgresql://u:{SECRET}@h/d"))
    plan = Plan("small", (), {})
    object.__setattr__(plan, "parts", (type("Part", (), {"config": small}),))
    printed = "\n".join(report.where(plan))
    assert "mlflow ui --backend-store-uri 'postgresql://***@h/d'" in printed


def test_shown_configuration_holds_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["+experiment=quickstart", f"tracking.uri=mysql://u:{SECRET}@h/d", "--cfg", "job"]
    assert run.main(argv) == 0
    printed = capsys.readouterr().out
    assert "mysql://***@h/d" in printed
    assert SECRET not in printed


def test_sync_names_a_wrong_address_without_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["sync", f"results={tmp_path}", f"uri=http://u:{SECRET}@127.0.0.1:1"]
    assert tracker.main(argv) == 2
    assert SECRET not in capsys.readouterr().err


class _Guarded(BaseHTTPRequestHandler):
    """A server that asks for u:hunter2."""

    def do_GET(self) -> None:
        expected = "Basic " + base64.b64encode(f"u:{SECRET}".encode()).decode()
        self.send_response(200 if self.headers.get("Authorization") == expected else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def guarded() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Guarded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_credentials_of_a_server_come_from_the_environment_or_the_address(
    guarded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    with pytest.raises(TrackingError, match=r"401.*MLFLOW_TRACKING_USERNAME"):
        tracker.check_uri(f"http://{guarded}")
    tracker.check_uri(f"http://u:{SECRET}@{guarded}")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "u")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    tracker.check_uri(f"http://{guarded}")


def test_request_never_holds_credentials_in_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    assert request("http://[::1]:5000/health").full_url == "http://[::1]:5000/health"
    assert request("http://h/health").get_header("Authorization") == f"Bearer {SECRET}"
    assert SECRET not in request(f"http://u:{SECRET}@h/health").full_url


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////results/mlflow.db", "/results/mlflow.db"),
        ("sqlite:///a%20b.db", "a%20b.db"),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql://h/d", None),
    ],
)
def test_file_of_a_database_is_found(uri: str, path: str | None) -> None:
    assert database_file(uri) == (None if path is None else Path(path))
