"""Records on disk: whether they are sound, and records of an older schema brought along.

    python -m sweep.results check   [experiment=NAME] [results=results]
    python -m sweep.results migrate [experiment=NAME] [results=results]

`check` reads everything and changes nothing: it computes all ids again from the columns of the
rows, and compares all checksums, keys and manifests. `migrate` writes records of an older schema
anew and keeps the old files beside them. The exit status is 0 if all is well, 1 if not, 2 for a
mistake in the arguments.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sweep import arguments, files, output
from sweep.errors import UserError
from sweep.upkeep import check, migrate

_USAGE = "python -m sweep.results check|migrate [experiment=NAME] [results=DIR]"
_DEFAULTS = {"experiment": "", "results": "results"}


def _check(root: Path, experiment: str) -> int:
    seen = check.check(root, experiment)
    for line in check.lines_of(seen, root):
        print(line)
    return 1 if seen.findings else 0


def _migrate(root: Path, experiment: str) -> int:
    left = 0
    for done in migrate.migrate(root, experiment):
        print(done.line())
        left += done.left
    return 1 if left else 0


_COMMANDS: Mapping[str, Callable[[Path, str], int]] = {"check": _check, "migrate": _migrate}


def main(argv: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    try:
        command, given, words = arguments.parse(argv, list(_COMMANDS), _DEFAULTS, _USAGE)
        if words:
            raise ValueError(f"unknown argument {words[0]!r}; usage: {_USAGE}")
        reason = files.why_no_folder(given["results"])
        if reason is not None:
            raise ValueError(f"results={given['results']}: {reason}")
        root = Path(given["results"])
        if not root.is_dir():
            raise ValueError(f"results={root}: is no folder")
        return _COMMANDS[command](root, given["experiment"])
    except (UserError, ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    output.outlive_readers()
    sys.exit(main(sys.argv[1:]))
