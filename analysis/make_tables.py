"""Build tables and figures from records.

    python analysis/make_tables.py                         # the latest experiment
    python analysis/make_tables.py experiment=NAME         # several: repeat, or NAME,NAME
    python analysis/make_tables.py records=PATH out=DIR only=table3,figure2

Options: experiment, records (Parquet file or folder), out, only, results (default `results`),
allow_simulated.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__" and sys.path and Path(sys.path[0]).resolve() == Path(__file__).parent:
    # Run as a file, Python puts this folder first, where `select` would hide the standard one.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from analysis.arguments import parse, split  # noqa: E402
from analysis.artifact import Figure, Table, chosen  # noqa: E402
from analysis.load import load  # noqa: E402
from analysis.locate import locate  # noqa: E402
from analysis.records import Records  # noqa: E402
from analysis.render import to_csv, to_latex, to_markdown  # noqa: E402
from analysis.summary import ranking, text  # noqa: E402

DEFAULTS = {
    "experiment": "",
    "records": "",
    "out": "",
    "only": "",
    "results": "results",
    "allow_simulated": "false",
}


def write_table(table: Table, records: Records, out: Path) -> bool:
    """Write a table as CSV, LaTeX and Markdown; return whether the records had anything for it."""
    frame = table.build(records)
    if frame.empty:
        return False
    blocks = table.layout(frame)
    (out / f"{table.name}.csv").write_text(to_csv(frame))
    (out / f"{table.name}.md").write_text(
        f"## {table.title}\n\n{table.caption}\n\n{to_markdown(blocks)}"
    )
    (out / f"{table.name}.tex").write_text(to_latex(blocks, table.caption, table.name))
    return True


def write_figure(figure: Figure, records: Records, out: Path) -> bool:
    """Write a figure as PDF and PNG, and its data as CSV; return whether there was anything."""
    frame = figure.build(records)
    if frame.empty:
        return False
    (out / f"{figure.name}.csv").write_text(to_csv(frame))
    canvas = figure.draw(frame)
    canvas.savefig(out / f"{figure.name}.pdf", metadata={"CreationDate": None})
    canvas.savefig(out / f"{figure.name}.png", dpi=200)
    return True


def run(argv: list[str]) -> None:
    """Build what the arguments ask for and print where it is.

    Raises:
        ValueError: any mistake in the arguments or the records, in one line.
    """
    options = parse(argv, DEFAULTS, choices={"allow_simulated": ("true", "false")})
    tables, figures = chosen(split(options["only"]))
    source = locate(split(options["experiment"]), options["records"], Path(options["results"]))
    records = load(source, allow_simulated=options["allow_simulated"] == "true")
    out = Path(options["out"]) if options["out"] else source.out
    out.mkdir(parents=True, exist_ok=True)
    written = [t.name for t in tables if write_table(t, records, out)]
    written += [f.name for f in figures if write_figure(f, records, out)]
    asked = [*(t.name for t in tables), *(f.name for f in figures)]
    _report(records, out, written, [name for name in asked if name not in written])


def _report(records: Records, out: Path, written: list[str], empty: list[str]) -> None:
    diverged = int((records.trials["status"] == "diverged").sum())
    failed = int((records.trials["status"] == "failed").sum())
    print(
        f"{records.provenance.name}: {records.trials.height} trials ({diverged} diverged, "
        f"{failed} failed) on {len(records.datasets)} data sets"
        + (" SIMULATED" if records.simulated else "")
    )
    for note in records.provenance.notes:
        print(f"note: {note}")
    print("\nMean rank under PGD attacks (1 is best):\n" + text(ranking(records)) + "\n")
    print(f"written to {out}: {', '.join(written) or 'nothing'}")
    if empty:
        print(f"nothing in these records for: {', '.join(empty)}")


def main(argv: list[str]) -> int:
    """Run, turning any mistake of the user into one line."""
    try:
        run(argv)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
