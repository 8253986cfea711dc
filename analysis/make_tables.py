"""Build tables, figures and the report from records.

    python analysis/make_tables.py                         # the latest experiment
    python analysis/make_tables.py experiment=NAME         # several: NAME,NAME
    python analysis/make_tables.py records=PATH out=DIR only=table3,figure2

Options: experiment, records (Parquet file or folder), out, only, results (default `results`),
allow_simulated, protocol (which of several protocols in the records to analyse; the notes name
them). Without `only` everything is built, and `report.html` of it all. `robust-sweep tables`
is the same command.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if Path(sys.path[0]).resolve() == _HERE:
    # Run as a file, Python looks first in the file's folder, where `select` hides the standard
    # one, and never in the checkout's root, which need not be installed.
    sys.path[0] = str(_HERE.parent)

from analysis.arguments import parse, split  # noqa: E402
from analysis.artifact import chosen  # noqa: E402
from analysis.build import Built, build  # noqa: E402
from analysis.figure_files import FigureWriter  # noqa: E402
from analysis.load import load  # noqa: E402
from analysis.locate import locate  # noqa: E402
from analysis.names import SPELLINGS  # noqa: E402
from analysis.records import Records  # noqa: E402
from analysis.report import page  # noqa: E402
from analysis.summary import TITLE, outline, ranking, text  # noqa: E402

DEFAULTS = {
    "experiment": "",
    "records": "",
    "out": "",
    "only": "",
    "results": "results",
    "allow_simulated": "false",
    "protocol": "1",
}


def run(argv: list[str]) -> None:
    """Build what the arguments ask for and print where it is.

    Raises:
        ValueError: any mistake in the arguments or the records, in one line.
    """
    options = parse(argv, DEFAULTS, choices={"allow_simulated": ("true", "false")})
    only = split(options["only"])
    tables, figures = chosen(only)
    protocol = _positive("protocol", options["protocol"])
    source = locate(split(options["experiment"]), options["records"], Path(options["results"]))
    needed = [*(t.datasets for t in tables), *(f.datasets for f in figures)]
    image_sets = None if None in needed else {name for names in needed for name in names or ()}
    datasets = image_sets and [spelling for name in image_sets for spelling in SPELLINGS[name]]
    out = Path(options["out"]) if options["out"] else source.out
    with FigureWriter(len(figures)) as writer:
        records = load(source, options["allow_simulated"] == "true", datasets, protocol)
        built = build(tables, figures, records, out, writer)
        report = "" if only else page.render(built, records)  # while figures are being drawn
    if report:
        (out / page.FILE).write_text(page.embed(report, out))
    _tell(records, built, ranked=datasets is None, reported=not only)


def _positive(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{key}={value!r} is no protocol's number; allowed: 1, 2, ...")
    return int(value)


def _tell(records: Records, built: Built, ranked: bool, reported: bool) -> None:
    print(outline(records))
    if ranked:
        print(f"\n{TITLE}:\n\n{text(ranking(records))}\n")
    print(f"written to {built.out}: {', '.join(built.written) or 'nothing'}")
    if built.empty:
        print(f"nothing in these records for: {', '.join(built.empty)}")
    if reported:
        print(f"report: {built.out / page.FILE}")


def main(argv: list[str]) -> int:
    """Run, turning any mistake of the user into one line."""
    if argv[:1] in (["--help"], ["-h"], ["help"]):
        print(__doc__)
        return 0
    try:
        run(argv)
    except BrokenPipeError:  # whoever read this, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
