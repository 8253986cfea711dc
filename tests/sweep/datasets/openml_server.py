"""A loopback server that speaks the parts of OpenML's REST interface that the client uses.

Descriptions and error answers as XML, ARFF files with their MD5, and Parquet files.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import pandas as pd

_NAMESPACE = 'xmlns:oml="http://openml.org/openml"'
_UNKNOWN = (
    f"<oml:error {_NAMESPACE}><oml:code>111</oml:code>"
    "<oml:message>Unknown dataset</oml:message></oml:error>"
)


def arff(columns: dict[str, str], rows: Sequence[Sequence[object]]) -> bytes:
    """Write an ARFF file; `columns` maps names to NUMERIC, STRING or {a,b,c}."""
    header = [f"@ATTRIBUTE '{name}' {kind}" for name, kind in columns.items()]
    data = [",".join("?" if cell is None else str(cell) for cell in row) for row in rows]
    return "\n".join(["@RELATION made", *header, "@DATA", *data, ""]).encode()


def parquet(columns: dict[str, str], rows: Sequence[Sequence[object]]) -> bytes:
    """Write the same table as Parquet, nominal columns as categories."""
    frame = pd.DataFrame(list(rows), columns=list(columns))
    for name, kind in columns.items():
        if kind.startswith("{"):
            frame[name] = frame[name].astype("str").astype("category")
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


@dataclass
class Served:
    """One data set on the server."""

    file: bytes
    checksum: str
    parquet: bytes | None = None


class OpenMLServer:
    """A running server; use as a context manager."""

    def __init__(self) -> None:
        self.sets: dict[int, Served] = {}
        self.requests: Counter[str] = Counter()
        # Part of a path -> what to do with the next requests for it: 500, "truncate", "silent"
        # (say nothing until the server stops), "stall" (after half the file) or "ok".
        self.faults: dict[str, list[int | str]] = {}
        self.stopping = threading.Event()
        handler = type("Handler", (_Handler,), {"owner": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def api(self) -> str:
        return f"{self.base}/api/v1/xml"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add(
        self,
        data_id: int,
        columns: dict[str, str],
        rows: Sequence[Sequence[object]],
        with_parquet: bool = False,
    ) -> None:
        """Offer a table, the nominal and numeric columns as OpenML declares them."""
        file = arff(columns, rows)
        binary = parquet(columns, rows) if with_parquet else None
        self.sets[data_id] = Served(file, hashlib.md5(file).hexdigest(), binary)

    def description(self, data_id: int) -> str:
        served = self.sets[data_id]
        fields = {
            "id": data_id,
            "name": "made",
            "version": 1,
            "description": "made",
            "format": "ARFF",
            "url": f"{self.base}/data/v1/download/{data_id}/made.arff",
            "md5_checksum": served.checksum,
        }
        if served.parquet is not None:
            fields["parquet_url"] = f"{self.base}/bucket/dataset_{data_id}.pq"
        body = "".join(f"<oml:{key}>{value}</oml:{key}>" for key, value in fields.items())
        return f"<oml:data_set_description {_NAMESPACE}>{body}</oml:data_set_description>"


class _Handler(BaseHTTPRequestHandler):
    owner: OpenMLServer

    def do_GET(self) -> None:
        fault = self._next_fault(self.path)
        self.owner.requests[self.path] += 1
        if fault == "silent":
            self.owner.stopping.wait()
            self.close_connection = True
            return
        if fault == 500:
            self._send(500, b"<html>Internal Server Error</html", "text/html")
            return
        status, body, kind = self._content(self.path)
        self._send(status, body, kind, cut_short=fault)

    def _next_fault(self, path: str) -> int | str:
        for part, actions in self.owner.faults.items():
            if part in path and actions:
                return actions.pop(0)
        return "ok"

    def _content(self, path: str) -> tuple[int, bytes, str]:
        parts = path.strip("/").split("/")
        if parts[0] == "bucket":
            data_id = int(parts[1].removeprefix("dataset_").removesuffix(".pq"))
            return 200, self.owner.sets[data_id].parquet or b"", "application/octet-stream"
        if parts[:3] == ["data", "v1", "download"]:
            return 200, self.owner.sets[int(parts[3])].file, "text/plain; charset=utf-8"
        data_id = int(parts[-1])
        if data_id not in self.owner.sets:
            return 412, _UNKNOWN.encode(), "text/xml"
        return 200, self.owner.description(data_id).encode(), "text/xml"

    def _send(self, status: int, body: bytes, kind: str, cut_short: int | str = "ok") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut_short == "ok" else body[: len(body) // 2])
        if cut_short == "stall":
            self.wfile.flush()
            self.owner.stopping.wait()
        if cut_short != "ok":
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing: tests read `requests`."""
