"""What data sets really hold: whether they leak, are as `conf/catalog` says, how yours is read.

    robust-sweep data check FILE [target=COLUMN] [ignore=A,B] [keep=A,B] [categories=A,B]
        [missing=TEXT,TEXT] [missing_target=refuse|drop|class] [header=true] [separator=comma]
        [decimal=.] [name=NAME] [catalog=catalog]
    robust-sweep data audit|verify [NAME ...] [source=openml] [root=DIR]
        [catalog=catalog] [keep_target_column=false] [timeout_seconds=60]

`check` prints what was understood of a table of your own (CSV or Parquet) and every choice made,
writes an entry into the folder `catalog`, and prints the command of a sweep on it. `--key value`
is the same as `key=value`. The keys of `audit` and `verify` are those of a sweep's `data.`. The
exit status is 0 if all is well, 1 if not, 2 for a mistake in the arguments.
`python -m sweep.datasets` is the same command.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence

from sweep import arguments
from sweep.datasets import check_command
from sweep.datasets.loading import check_name
from sweep.datasets.report import TABLES, text_of
from sweep.datasets.sources import source
from sweep.datasets.values import DataOptions

_DEFAULTS = {
    "source": "openml",
    "root": "",
    "catalog": "catalog",
    "keep_target_column": "false",
    "timeout_seconds": str(DataOptions.timeout_seconds),
}
_CHECK = "check"
_USAGE = (
    f"robust-sweep data check FILE [target=COLUMN], or {'|'.join(TABLES)} [NAME ...] "
    "[source=NAME] [root=DIR]"
)


def _options(given: dict[str, str]) -> DataOptions:
    """The options of these texts; ValueError where one is not of its key's kind."""
    try:
        timeout = float(given["timeout_seconds"])
    except ValueError:
        timeout = math.nan
    if not 0 < timeout < math.inf:
        raise ValueError(
            f"timeout_seconds={given['timeout_seconds']}: must be a positive number of seconds"
        )
    kept = given["keep_target_column"].lower()
    if kept not in ("true", "false"):
        raise ValueError(f"keep_target_column={kept}: must be true or false")
    root = given["root"] or None
    return DataOptions(given["source"], root, kept == "true", timeout, given["catalog"])


def main(argv: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    logging.getLogger("openml").setLevel(logging.CRITICAL)
    if sys.stderr.isatty() and list(argv[:1]) != [_CHECK]:  # which prints all that it finds
        logging.getLogger("sweep.datasets").setLevel(logging.INFO)
    try:
        keys = check_command.DEFAULTS if list(argv[:1]) == [_CHECK] else _DEFAULTS
        command, given, names = arguments.parse(argv, [_CHECK, *TABLES], keys, _USAGE)
        if command == _CHECK:
            if len(names) != 1:
                raise ValueError(f"check takes one file, got {len(names)}; usage: {_USAGE}")
            print(check_command.check(names[0], given))
            return 0
        options = _options(given)
        if source(options.source).NEEDS_ROOT:
            options.folder()
        for name in names:
            check_name(name, options)
        table = TABLES[command](options, names)
    except ValueError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(text_of(table))
    return 0 if table.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
