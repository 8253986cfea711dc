"""The command `data check`: what was understood of a table, its entry, and how to run on it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import yaml

from sweep.datasets.catalog import MISSING_TARGET, CatalogEntry, catalog, read_entry
from sweep.datasets.choices import choices
from sweep.datasets.columns import Column
from sweep.datasets.csv_files import SEPARATORS, CsvRules
from sweep.datasets.loading import describe
from sweep.datasets.table import shown
from sweep.datasets.understanding import Asked, Understanding, understand
from sweep.datasets.values import DataOptions
from sweep.errors import unknown
from sweep.files import write_text
from sweep.installation import command_of

DEFAULTS: Mapping[str, str] = {
    "target": "",
    "ignore": "",
    "keep": "",
    "categories": "",
    "missing": "",
    "missing_target": "refuse",
    "header": "true",
    "separator": "",
    "decimal": ".",
    "name": "",
    "catalog": "catalog",
}
_MARK = "# Written by `data check`, which may replace it."
_LISTED = 60  # columns shown one by one
_FEW = 5  # rows of a class that the splits can share out


def check(file: str, given: Mapping[str, str]) -> str:
    """Understand a table, write its entry, and say how to run a sweep on it.

    Args:
        given: a text for each key of `DEFAULTS`.

    Raises:
        ValueError: the table or an option cannot be used; nothing was written.
    """
    found = understand(Path(file), _asked(given))
    path = _entry_file(found.entry.name, Path(given["catalog"]))
    lines = [*_summary(found), "", *_columns(found), "", *_choices(found), *_audit(found)]
    _write(found, path)
    describe(found.entry.name, DataOptions(catalog=given["catalog"]), 0)  # as a sweep will
    lines += ["", _inputs(found), "", *_next(found.entry.name, path, given["catalog"])]
    return "\n".join(lines)


def _asked(given: Mapping[str, str]) -> Asked:
    """What the arguments say.

    Raises:
        ValueError: a value is not one of those allowed.
    """
    allowed = {
        "header": ("true", "false"),
        "separator": ("", *SEPARATORS),
        "decimal": (".", ","),
        "missing_target": MISSING_TARGET,
    }
    for key, values in allowed.items():
        if given[key] not in values:
            raise ValueError(unknown(key, given[key], filter(None, values)))
    name = given["name"]
    if name and (not name[0].isalpha() or not name.replace("-", "").replace("_", "").isalnum()):
        raise ValueError(f"name={name}: must be letters, digits, '-' and '_', a letter first")
    if name in catalog():
        raise ValueError(f"name={name}: is a data set of conf/catalog; give another")
    missing = tuple(text.strip() for text in given["missing"].split(",") if text.strip())
    rules = CsvRules(
        given["header"] == "true", given["separator"] or None, given["decimal"], missing
    )
    words = {key: given[key] for key in ("name", "target", "ignore", "keep", "categories")}
    return Asked(**words, missing_target=given["missing_target"], rules=rules)


def _summary(found: Understanding) -> Iterator[str]:
    table = found.table
    how = f"separated by {table.separator}" if table.unit == "line" else "Parquet"
    decimal = ", decimal comma" if table.rules.decimal == "," else ""
    rows, columns = table.frame.shape
    yield f"{found.path}: {rows} rows, {columns} columns, {how}{decimal}"
    counts = np.bincount(found.raw.y)
    classes = [
        f"{label} {count} ({count / len(found.raw.y):.0%})"
        for label, count in zip(found.raw.classes, counts.tolist(), strict=True)
    ]
    yield f"target {found.entry.target}: {len(classes)} classes: {shown(classes)}"


def _columns(found: Understanding) -> list[str]:
    """One line for each column: what it holds and what becomes of it."""
    rows = [("column", "kind", "missing", "different", "for example", "becomes")]
    for column in found.columns[:_LISTED]:
        counts = (str(column.missing), str(column.different))
        fate = _fate(column, found)
        rows.append((column.name, column.kind, *counts, column.example[:20], fate))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    more = len(found.columns) - _LISTED
    return [*(line.rstrip() for line in lines), *([f"... and {more} more"] if more > 0 else [])]


def _fate(column: Column, found: Understanding) -> str:
    if column.name == found.entry.target:
        return "the label"
    if column.name in found.left_out:
        return "left out"
    inputs = [len(group.inputs) for group in found.raw.groups if group.column == column.name]
    return f"{inputs[0]} one-hot" if inputs else "1 input"


def _choices(found: Understanding) -> Iterator[str]:
    """One line for each choice that was made."""
    naming = [column.name for column in found.columns if column.is_text and column.naming]
    for name, reason in found.left_out.items():
        final = reason == "as you say" or name in naming  # texts without end are no categories
        keep = "" if final else f"; keep={shlex.quote(name)} keeps it"
        yield f"left out: {name}, {reason}{keep}"
    yield from choices(found.raw)
    if found.table.rules.missing:
        marks = ", ".join(map(repr, found.table.rules.missing))
        yield f"no value: {marks} in any column, beside the usual (empty, NA, NaN, null, ?)"
    yield from _dropped(found)
    names = [column.name for column in found.columns]
    if found.entry.header and any(map(_is_number, names)):
        yield "look at: a column's name is a number; if the first line is a row, say header=false"
    for column in found.features:
        if column.code is not None:
            yield (
                f"look at: {column.name} holds {column.code:g} more than once; if that means no "
                f"value, say missing={column.code:g}"
            )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _dropped(found: Understanding) -> Iterator[str]:
    """What became of rows without a label, and classes that the parts cannot share."""
    absent = len(found.table.frame) - len(found.raw.y)
    if absent:
        yield f"dropped: {absent} rows without a label"
    counts = np.bincount(found.raw.y).tolist()
    few = [c for c, n in zip(found.raw.classes, counts, strict=True) if n < _FEW]
    if few:
        yield f"look at: fewer than {_FEW} rows of {shown(few)}; a part may have none of them"


def _audit(found: Understanding) -> Iterator[str]:
    if not any(finding.is_leak for finding in found.findings):
        yield "leaks: none found"
    for finding in found.findings:
        if finding.is_leak:
            yield f"leak: {finding.detail}; if it is not known before the label, say ignore=COLUMN"
        else:
            yield f"audit: {finding.detail}"


def _inputs(found: Understanding) -> str:
    """How many inputs and rows networks are trained and evaluated on."""
    named = ("training", found.indices.train), ("validation", found.indices.validation)
    parts = [f"{len(rows)} {name}" for name, rows in (*named, ("test", found.indices.test))]
    return f"a network sees {found.raw.x.shape[1]} inputs; {', '.join(parts)} rows"


def _entry_file(name: str, folder: Path) -> Path:
    """Return where the entry is to be written.

    Raises:
        ValueError: the folder cannot be one, or an entry there was written by somebody else.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"catalog={folder}: is not a folder")
    path = folder / f"{name}.yaml"
    if path.exists() and not path.read_text(encoding="utf-8").startswith(_MARK):
        raise ValueError(f"{path}: is there, and not from this command; give another name=NAME")
    return path


def _write(found: Understanding, path: Path) -> None:
    """Write the entry, with the file's folder relative to it where both are below one."""
    data, here = found.path.absolute().parent, Path.cwd()
    near = data.is_relative_to(here) and path.absolute().is_relative_to(here)
    root = os.path.relpath(data, path.absolute().parent) if near else str(data)
    said = asdict(found.entry) | {"source": "folder", "root": root}
    plain = asdict(CatalogEntry(""))
    order = ("name", "source", "root", *(field.name for field in fields(CatalogEntry)))
    entry = {
        key: list(said[key]) if isinstance(said[key], tuple) else said[key]
        for key in dict.fromkeys(order)
        if said[key] != plain[key]
    }
    text = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=99)
    write_text(path, f"{_MARK}\n{text}")
    read_entry(path)


def _next(name: str, path: Path, folder: str) -> Iterator[str]:
    own = "" if folder == DEFAULTS["catalog"] else f" data.catalog={shlex.quote(folder)}"
    run = command_of("sweep/run.py")
    yield f"written: {path}; run a sweep on it with"
    yield f"  {run} +experiment=quickstart name={name} grid.dataset={name}{own}"
    yield "beside other data sets: grid.dataset=[wine," + name + "]"
