"""The tables of `python -m sweep.datasets`: one row per data set, plain text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.datasets.audit import Finding, audit, audit_features
from sweep.datasets.catalog import catalog
from sweep.datasets.checks import catalog_differences
from sweep.datasets.loading import names, read_raw
from sweep.datasets.own import entry_of, located
from sweep.datasets.sources import authors, folder
from sweep.datasets.sources.folder import NoFilesError
from sweep.datasets.splits import split_rows
from sweep.datasets.values import DataOptions

logger = logging.getLogger(__name__)

Row = tuple[str, ...]

UNSURE = " (entry marked unsure)"


@dataclass(frozen=True)
class Table:
    """A heading, its rows, and whether every row is as it should be."""

    heading: Row
    rows: list[Row]
    ok: bool
    summary: str


def text_of(table: Table) -> str:
    """Return the table with aligned columns and its summary line."""
    lines = [table.heading, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.heading))]
    body = ["  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([*(line.rstrip() for line in body), "", table.summary])


def _leaks(findings: Iterable[Finding]) -> str:
    return "; ".join(f.detail for f in findings if f.is_leak) or "none"


def _others(findings: Iterable[Finding]) -> str:
    return "; ".join(f.detail for f in findings if not f.is_leak) or "-"


def _asked(options: DataOptions, chosen: Sequence[str]) -> tuple[Sequence[str], str]:
    """The data sets to look at, and what to say of those that are left out.

    All that the source offers, unless some are named; of a folder, all that have files in it.
    """
    if chosen or options.source != "folder":
        return chosen or names(options.source, options.root), ""
    offered = names(options.source, options.root)
    present = [name for name in offered if _has_files(name, options)]
    absent = len(offered) - len(present)
    left_out = f"; {absent} more of the catalog have no file in {options.root}" if absent else ""
    return present, left_out


def _has_files(name: str, options: DataOptions) -> bool:
    try:
        return bool(folder.files(name, options))
    except NoFilesError:
        return False


def audit_table(options: DataOptions, chosen: Sequence[str]) -> Table:
    """Audit data sets; those of source `authors` as they were released, label column included."""
    if options.source == "authors":
        return _audit_release(options, chosen)
    rows: list[Row] = []
    leaky = failed = 0
    asked, absent = _asked(options, chosen)
    for name in asked:
        logger.info("reading %s", name)
        try:
            raw, _ = read_raw(name, options)
            findings = audit(raw, split_rows(raw, name, 0))
        except ValueError as error:
            failed += 1
            rows.append((name, "-", "-", "not read", str(error)))
            continue
        leaky += any(finding.is_leak for finding in findings)
        shape = (str(len(raw.y)), str(raw.x[0].size))
        rows.append((name, *shape, _leaks(findings), _others(findings)))
    summary = (
        f"{len(rows) - failed} data sets read, {leaky} with a leak, {failed} not read{absent}"
    )
    heading = ("data set", "rows", "features", "leaks", "also")
    return Table(heading, rows, leaky == 0 and failed == 0, summary)


def _release_part(name: str, options: DataOptions) -> tuple[str, list[Finding], int, int]:
    """Audit one released set with all its columns; the test file alone where training is missing.

    Returns:
        which files, the findings, their rows and columns.
    """
    root = options.folder()
    x, labels = authors.read_part(root, name, "test")
    files = "test only"
    if all(path.is_file() for path in authors.part_files(root, name, "train")):
        train_x, train_labels = authors.read_part(root, name, "train")
        x, labels = np.concatenate([train_x, x]), np.concatenate([train_labels, labels])
        files = "train, test"
    y = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return files, audit_features(x, y), len(x), x.shape[1]


def _audit_release(options: DataOptions, chosen: Sequence[str]) -> Table:
    rows: list[Row] = []
    carrying = failed = 0
    staying: list[str] = []
    for name in chosen or authors.names():
        try:
            files, findings, num_rows, num_columns = _release_part(name, options)
        except ValueError as error:
            failed += 1
            rows.append((name, "-", "-", "-", "not read", str(error)))
            continue
        leaks = {column: f for f in findings if f.is_leak for column in f.columns}
        label = leaks.pop(num_columns - 1, None)
        carrying += label is not None
        last = f"{label.kind} with the label" if label else "not the label"
        others = ", ".join(f"column {c} {f.kind}" for c, f in sorted(leaks.items())) or "-"
        staying += [f"{name} (column {c}, counted from 0)" for c in sorted(leaks)]
        rows.append((name, files, str(num_rows), str(num_columns), last, others))
    summary = (
        f"{carrying} of {len(rows)} released sets carry the label as their last column, which is "
        "dropped when they are loaded (unless data.keep_target_column=true)"
    )
    if staying:
        summary += f"; a leak that stays: {', '.join(staying)}"
    heading = ("data set", "files", "rows", "columns", "last column", "other leaks")
    return Table(heading, rows, carrying == 0 and failed == 0, summary)


def verify_table(options: DataOptions, chosen: Sequence[str]) -> Table:
    """Download or read each catalog entry and compare it with what the catalog says."""
    rows: list[Row] = []
    good = 0
    unread: list[str] = []
    leaky: list[str] = []
    asked, absent = _asked(options, chosen)
    for name in asked if chosen else [n for n in asked if n in catalog()]:
        logger.info("reading %s", name)
        try:
            raw, raw_hash = read_raw(name, options)
            findings = audit(raw, split_rows(raw, name, 0))
        except ValueError as error:
            unread.append(name)
            rows.append((name, "-", "-", "-", "-", "-", str(error)))
            continue
        from_source = located(name, options).source
        found = catalog_differences(entry_of(name, options), from_source, raw, raw_hash)
        good += not found
        leaky += [name] * any(finding.is_leak for finding in findings)
        counts = (str(len(raw.y)), str(raw.x[0].size), str(len(raw.classes)))
        state = "; ".join(found) or "ok"
        if name in catalog() and catalog()[name].confidence != "confirmed":
            state += UNSURE
        rows.append((name, *counts, raw_hash, _leaks(findings), state))
    summary = f"{good} of {len(rows)} data sets are as the catalog says"
    for what, found_names in (("not read", unread), ("with a leak", leaky)):
        if found_names:
            summary += f"; {len(found_names)} {what}: {', '.join(found_names)}"
    summary += absent
    if any(row[-1].endswith(UNSURE) for row in rows):
        summary += (
            f"\n{UNSURE.strip()}: what OpenML has may differ; conf/catalog/NAME.yaml says how"
        )
    heading = ("data set", "rows", "features", "classes", "hash", "leaks", "state")
    return Table(heading, rows, good == len(rows), summary)


TABLES: dict[str, Callable[[DataOptions, Sequence[str]], Table]] = {
    "audit": audit_table,
    "verify": verify_table,
}
