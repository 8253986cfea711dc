"""Run a sweep: python sweep/run.py +experiment=NAME [key=value ...] [dry_run=true].

Composes the configuration, expands it, trains what is missing and records it. Running the same
command again completes exactly the missing trials.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

_HERE = Path(__file__).resolve().parent
if Path(sys.path[0]).resolve() == _HERE:
    # Run as a file, Python looks first in the file's folder, where our modules may hide others,
    # and never in the checkout's root, which need not be installed.
    sys.path[0] = str(_HERE.parent)


from sweep import output  # noqa: E402

if __name__ == "__main__":
    output.outlive_readers()  # before anything else opens a file
    # A Ctrl-C while the imports below take their seconds.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from sweep.cluster import start  # noqa: E402
from sweep.config import compose  # noqa: E402
from sweep.errors import UserError  # noqa: E402
from sweep.uri import redacted  # noqa: E402

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
        compose.show_help(argv)
        return 0
    parts = compose.read(argv)
    compose.check(parts)
    from sweep.driver import driver  # takes seconds, which a mistake need not wait for

    if parts[0].dry_run:
        driver.dry_run(parts)
        return 0
    return driver.sweep(parts, argv)


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
    output.outlive_readers()
    # `docker stop` and batch systems ask with SIGTERM; a shell's background job ignores SIGINT.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    _leave(main(argv))


if __name__ == "__main__":
    command(sys.argv[1:])
