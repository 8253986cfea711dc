"""Bring the records of an older schema along: the command `python -m sweep.results migrate`.

results/<experiment>/schema-1/   the files as they were: records, curves, strong, manifest.json

Every old file is copied there before anything is written, and a file is replaced only as a whole.
Killed at any moment, the same command again does the rest: ids are mapped by the copies, and a
file that has today's schema is done.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sweep import files
from sweep.errors import DamagedError
from sweep.results import checksum, schema, store
from sweep.results.lock import locked
from sweep.results.parquet import read_table, write_table
from sweep.results.store import Folder
from sweep.upkeep import schema1

_KINDS = ("records", "curves", "strong")
_KEY = ("trial_id", "evaluation_id")
_POINT = ("trial_id", "step", "quantity", "norm", "radius")  # the key of a row of the curves


@dataclass
class Migration:
    """What became of an experiment.

    Attributes:
        experiment: its name.
        files: that were written anew.
        trials: that were brought along.
        reasons: why trials or files were left behind -> how many.
    """

    experiment: str
    files: int = 0
    trials: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """How much was left behind."""
        return sum(self.reasons.values())

    def line(self) -> str:
        """All of it in one line."""
        if not self.files and not self.left:
            return f"{self.experiment}: nothing to migrate"
        kept = f"the old files are in {self.experiment}/{_aside_name()}"
        left = "".join(f"; {count:,} left behind: {why}" for why, count in self.reasons.items())
        return f"{self.experiment}: {self.trials:,} trials in {self.files:,} files; {kept}{left}"


def migrate(root: Path, experiment: str = "") -> Iterator[Migration]:
    """Write the files of schema 1 anew, experiment by experiment.

    Args:
        root: the folder of all experiments' results.
        experiment: one of them; all where it is empty.

    Yields:
        What became of each.

    Raises:
        ValueError: there is none of that name.
        LockedError: a sweep is running in one of them.
    """
    everything = store.folders(root)
    ids: dict[str, str] = {}
    for folder in everything:  # a manifest may ask for trials that another experiment recorded
        ids |= _ids_of(folder)
    for folder in store.folders(root, experiment):
        with locked(folder.path):
            yield _migrated(folder, ids)


def _aside_name() -> str:
    return f"schema-{schema1.VERSION}"


def _aside(folder: Folder) -> Path:
    return folder.path / _aside_name()


def _version(path: Path) -> int | None:
    """The schema version that a file's footer tells; None where it tells none."""
    try:
        footer = pq.read_metadata(path)
        column = footer.row_group(0).column(footer.schema.names.index("schema_version"))
    except (OSError, pa.ArrowException, ValueError, IndexError):
        return None
    found = column.statistics
    return int(found.max) if found is not None and found.has_min_max else None


def _old_files(folder: Folder, kind: str) -> list[Path]:
    return [path for path in folder.tables(kind) if _version(path) == schema1.VERSION]


def _ids_of(folder: Folder) -> dict[str, str]:
    """Old trial id -> new one, of all records of schema 1 that an experiment has or had."""
    ids: dict[str, str] = {}
    copies = Folder(folder.path, _aside_name())
    for path in (*copies.tables("records"), *_old_files(folder, "records")):
        try:
            ids |= schema1.bring(_frame(path)).ids
        except DamagedError:  # said where it is to be written anew
            continue
    return ids


def _written(path: Path) -> tuple[int, str]:
    return path.stat().st_mtime_ns, path.name


def _frame(path: Path) -> pl.DataFrame:
    frame = pl.from_arrow(read_table(path))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _migrated(folder: Folder, ids: Mapping[str, str]) -> Migration:
    done = Migration(folder.experiment)
    old = {kind: _old_files(folder, kind) for kind in _KINDS}
    if not any(old.values()):
        return done
    for path in (*(path for paths in old.values() for path in paths), folder.manifest):
        _keep(path, _aside(folder) / path.relative_to(folder.path))
    seen = _points(path for path in folder.tables("curves") if path not in old["curves"])
    for path in old["curves"]:
        _replace(path, path, _curves(_read(path, done), ids, seen))
    for path in old["strong"]:
        made = _records(_read(path, done), done)
        name = made["trial_id"][0].as_py() if made.num_rows else path.stem
        _replace(path, path.with_name(f"{name}.parquet"), made)
    _manifest(folder, ids, done)
    _all_records(folder, old["records"], done)  # last: they tell what is left to do
    done.files = sum(map(len, old.values()))
    return done


def _all_records(folder: Folder, old: Sequence[Path], done: Migration) -> None:
    """Write records anew: of rows that two trials of one network had, the newer ones.

    Such trials differed in what schema 1 hashed besides: how they were evaluated, what was
    measured while they trained.
    """
    keys: set[tuple[str, str]] = set()
    trials: set[str] = set()
    for path in folder.record_files():
        if path not in old:  # written by a migration that was killed
            keys.update(_frame(path).select(_KEY).iter_rows())
    for path in sorted(old, key=_written, reverse=True):
        made = _records(_read(path, done), done)
        fresh = [key not in keys for key in zip(*(made[n].to_pylist() for n in _KEY), strict=True)]
        kept = made.filter(pa.array(fresh, pa.bool_()))
        keys.update(zip(*(kept[name].to_pylist() for name in _KEY), strict=True))
        trials.update(kept["trial_id"].to_pylist())
        _replace(path, path, kept)
    done.trials = len(trials)


def _keep(path: Path, copy: Path) -> None:
    """Copy a file as it was, once."""
    if path.is_file() and not copy.exists():
        with files.atomic(copy) as temporary:
            shutil.copy2(path, temporary)


def _read(path: Path, done: Migration) -> pl.DataFrame:
    """The rows of a file; none of one that is damaged, whose copy stays."""
    try:
        return _frame(path)
    except DamagedError as error:
        done.reasons[str(error)] += 1
        return pl.DataFrame()


def _replace(path: Path, new: Path, table: pa.Table) -> None:
    """Put a table in the place of a file, as old as that was; an empty one leaves no file."""
    if table.num_rows:
        written = path.stat().st_mtime_ns
        write_table(new, table)
        os.utime(new, ns=(written, written))  # of two records of a trial the newer one counts
    if new != path or not table.num_rows:
        path.unlink(missing_ok=True)


def _records(rows: pl.DataFrame, done: Migration) -> pa.Table:
    """Records of today's schema, and why others are left behind."""
    if rows.is_empty():
        return store.RECORDS.empty_table()
    brought = schema1.bring(rows)
    done.reasons.update(brought.left)
    return brought.rows.to_arrow().cast(store.RECORDS)


def _points(paths: Iterable[Path]) -> set[tuple[Any, ...]]:
    """The keys of the rows of curves that are of today's schema already."""
    return {key for path in paths for key in _frame(path).select(_POINT).iter_rows()}


def _curves(rows: pl.DataFrame, ids: Mapping[str, str], seen: set[tuple[Any, ...]]) -> pa.Table:
    """Curves under the new ids, each point once: one network may have been two trials."""
    if rows.is_empty():
        return store.CURVES.empty_table()
    made = rows.with_columns(
        trial_id=pl.col("trial_id").replace_strict(ids, default=None, return_dtype=pl.String),
        schema_version=pl.lit(schema.SCHEMA_VERSION, pl.Int32),
    ).drop_nulls("trial_id")
    keys = list(made.select(_POINT).iter_rows())
    fresh = [key not in seen for key in keys]
    seen.update(keys)
    return made.filter(pl.Series(fresh, dtype=pl.Boolean)).to_arrow().cast(store.CURVES)


def _manifest(folder: Folder, ids: Mapping[str, str], done: Migration) -> None:
    """Put the new ids into a manifest; what was asked for and not recorded has none."""
    try:
        manifest = json.loads(folder.manifest.read_bytes())
        asked = [str(trial) for trial in manifest["trial_ids"]]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        done.reasons[f"{folder.manifest}: is damaged ({error})"] += 1
        return
    old = json.loads((_aside(folder) / folder.manifest.name).read_bytes())["trial_ids"]
    gone = set(map(str, old)) - set(ids)
    known = [ids.get(trial, trial) for trial in asked if trial not in gone]
    if len(known) < len(asked):
        why = "they were asked for and not recorded; the same sweep again asks for them"
        done.reasons[why] += len(asked) - len(known)
    trials = list(dict.fromkeys(known))
    manifest |= {"trial_ids": trials, "num_trials": len(trials)}
    files.write_text(folder.manifest, checksum.sealed_json(manifest))
