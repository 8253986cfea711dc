"""What the catalog's data sets really hold: whether they leak, and are as `conf/catalog` says.

    python -m sweep.datasets audit|verify [NAME ...] [source=openml] [root=DIR]
        [catalog=catalog] [keep_target_column=false] [timeout_seconds=60]

The keys are those of a sweep's `data.`. The exit status is 0 if all is well, 1 if not, 2 for a
mistake in the arguments.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Sequence

from sweep import arguments
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
_USAGE = f"python -m sweep.datasets {'|'.join(TABLES)} [NAME ...] [source=NAME] [root=DIR]"


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
    if sys.stderr.isatty():
        logging.getLogger("sweep.datasets").setLevel(logging.INFO)
    try:
        command, given, names = arguments.parse(argv, list(TABLES), _DEFAULTS, _USAGE)
        options = _options(given)
        if source(options.source).NEEDS_ROOT:
            options.folder()
        for name in names:
            check_name(name, options)
        table = TABLES[command](options, names)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text_of(table))
    return 0 if table.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
