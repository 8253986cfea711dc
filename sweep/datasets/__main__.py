"""`python -m sweep.datasets audit|verify`: what the catalog's data sets really hold."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from typing import NoReturn

from sweep.datasets.loading import check_name
from sweep.datasets.report import TABLES, text_of
from sweep.datasets.sources import source, sources
from sweep.datasets.values import DataOptions


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m sweep.datasets",
        description="Audit data sets for leaks, or verify them against conf/catalog. "
        "Exit status: 0 if all is well, 1 if not, 2 for a mistake in the arguments.",
    )
    parser.add_argument("command", choices=list(TABLES))
    parser.add_argument("names", nargs="*", metavar="NAME", help="data sets; default: all")
    parser.add_argument(
        "--source", default="openml", help=f"one of {', '.join(sources())}; default: openml"
    )
    parser.add_argument("--root", help="the source's folder (openml: of its cache)")
    parser.add_argument(
        "--keep-target-column",
        action="store_true",
        help="keep the label as a feature, which the audit must find",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=DataOptions.timeout_seconds,
        metavar="SECONDS",
        help="how long a server may say nothing before a download is tried again; default: 60",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    logging.getLogger("openml").setLevel(logging.CRITICAL)
    if sys.stderr.isatty():
        logging.getLogger("sweep.datasets").setLevel(logging.INFO)
    try:
        given = _parser().parse_intermixed_args(arguments)
        options = DataOptions(given.source, given.root, given.keep_target_column, given.timeout)
        if source(options.source).NEEDS_ROOT:
            options.folder()
        for name in given.names:
            check_name(name, options)
        table = TABLES[given.command](options, given.names)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text_of(table))
    return 0 if table.ok else 1


if __name__ == "__main__":
    sys.exit(main())
