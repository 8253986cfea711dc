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

_ROOT = Path(__file__).resolve().parent.parent
# A script's own folder is first on the path, where our module names could shadow others'.
if sys.path and Path(sys.path[0] or ".").resolve() == _ROOT / "sweep":
    sys.path[0] = str(_ROOT)

if __name__ == "__main__":  # a Ctrl-C while the imports below take their seconds
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from sweep import compose, ray_start  # noqa: E402
from sweep.errors import UserError  # noqa: E402

_USAGE_ERROR = 2
_INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Run what the command line asks for.

    Returns:
        0; 1 if any trial failed; 2 if the command or its surroundings are wrong; 130 on Ctrl-C.
    """
    ray: ray_start.RayStart | None = None
    try:
        if any(text.startswith("-") for text in argv):
            compose.show_help(argv)
            return 0
        parts = compose.read(argv)
        ray = ray_start.ahead(parts[0])
        from sweep import execute  # and PyTorch, while Ray starts

        compose.check(parts)
        if parts[0].dry_run:
            execute.dry_run(parts)
            return 0
        return execute.sweep(parts, argv, ray)
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        if ray is not None:
            ray.end()
        return _USAGE_ERROR
    except KeyboardInterrupt:
        print(
            "\ninterrupted: what is finished is recorded; the same command completes the rest",
            file=sys.stderr,
            flush=True,
        )
        if ray is not None:
            ray.stop()
            ray.join()
        return _INTERRUPTED


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _leave(code: int) -> NoReturn:
    """End the process; without the clean-up that Ray's threads crash or hang in, if they may."""
    sys.stdout.flush()
    sys.stderr.flush()
    if code == _INTERRUPTED or ray_start.any_lost():
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    # `docker stop` and batch systems ask with SIGTERM; a shell's background job ignores SIGINT.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    _leave(main(sys.argv[1:]))
