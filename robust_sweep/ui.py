"""The command `ui`: MLflow's pages on the results, to this machine only.

    robust-sweep ui [port=5000] [database=mlflow.db]

It prints the address of each experiment's runs table, the latest first, and serves them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sweep import arguments
from sweep.errors import TrackingError, UserError
from sweep.uri import DATABASE

HOST, PORT = "127.0.0.1", 5000
_USAGE = "robust-sweep ui [port=NUMBER] [database=FILE]"
_MOST_LINKS = 10


def main(argv: Sequence[str]) -> int:
    """Print where each experiment is, and become the server.

    Raises:
        UserError: an argument is not understood, or there is no database.
    """
    port, database = read(argv)
    command = server(port, database)
    print("\n".join(links(port, database)), flush=True)
    # The server takes this process's place, so that whoever stops this stops the server.
    os.execv(command[0], command)


def read(argv: Sequence[str]) -> tuple[int, Path]:
    """Return the port and the database that the arguments name.

    Raises:
        UserError: an argument is not understood, a port is none, or the file is not there.
    """
    defaults = {"port": str(PORT), "database": str(DATABASE)}
    try:
        _, options, words = arguments.parse(["ui", *argv], ["ui"], defaults, _USAGE)
    except ValueError as error:
        raise UserError(f"ui: {error}") from None
    if words:
        raise UserError(f"ui: unknown argument {words[0]!r}; usage: {_USAGE}")
    number, database = options["port"], Path(options["database"])
    if not number.isdecimal() or not 0 < int(number) < 65536:
        raise UserError(f"ui: port={number}: must be a number from 1 to 65535")
    if not database.is_file():
        raise UserError(
            f"ui: no {database.name} in {database.resolve().parent}; call it in the folder from "
            "which a sweep was run, or give database=FILE"
        )
    return int(number), database


def server(port: int, database: Path) -> list[str]:
    """Return the command that serves MLflow's pages on a database, to this machine only."""
    served = ("--backend-store-uri", f"sqlite:///{database}", "--host", HOST, "--port", str(port))
    return [sys.executable, "-m", "mlflow", "ui", *served, "--workers", "1"]


def links(port: int, database: Path) -> list[str]:
    """Return a line for each experiment: its name and the address of its runs table."""
    from sweep.tracking.connection import experiments  # takes seconds
    from sweep.tracking.views import link

    try:
        known = experiments(f"sqlite:///{database}")[:_MOST_LINKS]
    except TrackingError:  # such as a database of another version, of which the server tells more
        known = []
    return [f"{name}: {link(f'http://{HOST}:{port}', number)}" for name, number in known]
