"""The command `run`: train what is missing of an experiment, record it, show what came out.

Composes the configuration, expands it, trains what is missing and records it. Running the same
command again completes exactly the missing trials. `python sweep/run.py` is this command.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from robust_sweep import selection, shows
from sweep.cluster import start
from sweep.config import compose, show
from sweep.errors import UserError
from sweep.uri import redacted

_USAGE_ERROR = 2
_INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Run what the command line asks for.

    Returns:
        0; 1 if any trial failed; 2 if the command or its surroundings are wrong; 130 on Ctrl-C.
    """
    try:
        return _do(argv)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _refused(f"{where}{error.strerror or error}")
    except (UserError, ValueError) as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        print(
            "\ninterrupted: what is finished is recorded; the same command completes the rest",
            file=sys.stderr,
            flush=True,
        )
        return _INTERRUPTED


def _do(argv: Sequence[str]) -> int:
    if any(text.startswith("-") for text in argv):
        show.show(argv)
        return 0
    parts = compose.read(argv)
    compose.check(parts)
    for part in parts:
        shows.check(part.shows)
    from sweep.driver import driver  # takes seconds, which a mistake need not wait for

    if parts[0].dry_run:
        driver.dry_run(parts)
        return 0
    ending = driver.sweep(parts, argv)
    if parts[0].keep.networks == "selected" and not ending.failed and not parts[0].simulate:
        print(selection.pruned(ending.folder), flush=True)
    if ending.trained and not parts[0].simulate:
        print(f"\n{shows.text(parts[0].shows, ending.folder)}", flush=True)
    return 1 if ending.failed else 0


def _refused(message: str) -> int:
    """Print what is wrong, in one line and without credentials."""
    print(f"error: {redacted(' '.join(message.split()))}", file=sys.stderr, flush=True)
    return _USAGE_ERROR


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _leave(code: int) -> NoReturn:
    """End the process; without the clean-up that Ray's threads crash or hang in, if they may."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code == _INTERRUPTED or start.any_lost():
        os._exit(code)
    sys.exit(code)


def command(argv: Sequence[str]) -> NoReturn:
    """Run what the command line asks for and end the process."""
    # `docker stop` and batch systems ask with SIGTERM; a shell's background job ignores SIGINT.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    _leave(main(argv))
