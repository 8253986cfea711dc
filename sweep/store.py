"""Where records lie and which trials they complete.

results/<experiment>/records/<pack_id>.parquet   one row per trial x split x attack x radius
results/<experiment>/curves/<pack_id>.parquet    what was measured while training
results/<experiment>/manifest.json               what the last command asked for
results/<experiment>/checkpoints/                packs in training (`sweep.checkpoints`)
results/<experiment>/logs/                       one line per pack, tracebacks of failures

A pack's files are renamed into place, so a file that exists is complete. A trial is recorded by
the whole file that holds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sweep import files, schema
from sweep.errors import SchemaError

FAILED = "failed"


def arrow_schema(columns: Mapping[str, tuple[str, bool]]) -> pa.Schema:
    """The Arrow schema of a table of `sweep.schema`."""
    types = {"string": pa.string(), "bool": pa.bool_(), "float64": pa.float64()}
    types |= {"int32": pa.int32(), "int64": pa.int64()}
    return pa.schema(
        [pa.field(name, types[kind], nullable) for name, (kind, nullable) in columns.items()]
    )


RECORDS = arrow_schema(schema.RECORD_COLUMNS)
CURVES = arrow_schema(schema.CURVE_COLUMNS)


@dataclass(frozen=True)
class Folder:
    """The files of one experiment."""

    root: Path  # the folder of all experiments' results
    experiment: str

    @property
    def path(self) -> Path:
        """The experiment's own folder."""
        return self.root / self.experiment

    def records(self, pack_id: str) -> Path:
        """The records of a pack."""
        return self.path / "records" / f"{pack_id}.parquet"

    def curves(self, pack_id: str) -> Path:
        """The curves of a pack."""
        return self.path / "curves" / f"{pack_id}.parquet"

    @property
    def manifest(self) -> Path:
        """What the last command asked for."""
        return self.path / "manifest.json"

    @property
    def logs(self) -> Path:
        """One line per pack, and the tracebacks of failures."""
        return self.path / "logs"

    def record_files(self) -> list[Path]:
        """All packs' records, in a fixed order."""
        return sorted((self.path / "records").glob("[!.]*.parquet"))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file atomically."""
    with files.atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", use_dictionary=True)


def write_pack(folder: Folder, pack_id: str, records: pa.Table, curves: pa.Table) -> None:
    """Write a pack's two tables; the records last, as they say that the pack is finished."""
    if curves.num_rows:
        write_table(folder.curves(pack_id), curves)
    write_table(folder.records(pack_id), records)


def statuses(path: Path) -> dict[str, str]:
    """Trial id -> status of one records file, reading only what that takes.

    Raises:
        SchemaError: the file has another schema version.
    """
    stat = path.stat()
    return dict(_read_statuses(path, stat.st_mtime_ns, stat.st_size))


# A start looks three times: for what is superseded, what is finished, and what MLflow lacks.
@lru_cache(maxsize=200_000)
def _read_statuses(path: Path, written_ns: int, size: int) -> tuple[tuple[str, str], ...]:
    footer = pq.read_metadata(path)
    _check_version(path, footer)
    wanted = ["trial_id", "status"]
    with pq.ParquetFile(path, metadata=footer, read_dictionary=wanted) as parquet:
        table = parquet.read(wanted, use_threads=False).unify_dictionaries()
    trials, status = (table[name].combine_chunks() for name in ("trial_id", "status"))
    codes = [column.indices.to_numpy() for column in (trials, status)]
    # A trial's rows lie together: look only where one of the two columns changes.
    changes = (np.diff(codes[0], prepend=-1) != 0) | (np.diff(codes[1], prepend=-1) != 0)
    at = np.flatnonzero(changes)
    names, outcomes = trials.dictionary.to_pylist(), status.dictionary.to_pylist()
    pairs = zip(codes[0][at].tolist(), codes[1][at].tolist(), strict=True)
    return tuple((names[trial], outcomes[outcome]) for trial, outcome in pairs)


def _check_version(path: Path, footer: pq.FileMetaData) -> None:
    """Read the version from the column's statistics in the footer."""
    names = footer.schema.names
    if "schema_version" not in names:
        raise SchemaError(f"{path}: is no record file of this project (no schema_version column)")
    column = names.index("schema_version")
    for group in range(footer.num_row_groups):
        found = footer.row_group(group).column(column).statistics
        versions = {found.min, found.max} if found is not None and found.has_min_max else set()
        if versions != {schema.SCHEMA_VERSION}:
            raise SchemaError(
                f"{path}: records of schema version {versions or 'unknown'}, this program writes "
                f"{schema.SCHEMA_VERSION}; move the folder {path.parent.parent} away or set "
                "paths.results to another folder"
            )


def scan(paths: Iterable[Path]) -> dict[Path, dict[str, str]]:
    """The statuses of many records files.

    Raises:
        SchemaError: a file has another schema version.
    """
    paths = list(paths)
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(paths, pool.map(statuses, paths), strict=True))


def finished(root: Path) -> dict[str, str]:
    """Trial id -> status of every trial that any experiment has finished; failed ones left out."""
    found: dict[str, str] = {}
    for file_statuses in scan(sorted(root.glob("*/records/[!.]*.parquet"))).values():
        found |= {trial: status for trial, status in file_statuses.items() if status != FAILED}
    return found


def consolidate(folder: Folder) -> int:
    """Leave each trial's records in one file: finished beats failed, then newer beats older.

    Needed after a failed trial was retried in another pack, and after a killed driver's last
    worker finished a pack that the next driver had cut differently.

    Returns:
        How many record sets were dropped.
    """
    scanned = scan(folder.record_files())
    best: dict[str, tuple[bool, int, Path]] = {}
    for path, trials in scanned.items():
        written = path.stat().st_mtime_ns
        for trial, status in trials.items():
            candidate = (status != FAILED, written, path)
            best[trial] = max(best.get(trial, candidate), candidate)
    dropped = 0
    for path, trials in scanned.items():
        lost = [trial for trial in trials if best[trial][2] != path]
        dropped += len(lost)
        if len(lost) == len(trials):
            path.unlink()
        elif lost:
            table = pq.read_table(path)
            keep = pc.invert(pc.is_in(table["trial_id"], value_set=pa.array(lost)))
            write_table(path, table.filter(keep))
    return dropped


def write_manifest(
    folder: Folder,
    *,
    config: Mapping[str, object],
    git_commit: str,
    trial_ids: Iterable[str],
    data_hashes: Mapping[str, str],
    pixel_scales: Mapping[str, float],
    overrides: Sequence[str],
    labels: Mapping[str, str],
) -> None:
    """Write down what this command asks for, before anything is trained.

    Args:
        pixel_scales: image set -> mean deviation of a standardised image, in pixels from 0 to 1.
        overrides: the arguments of sweep/run.py, which complete what is missing when given again.
        labels: what defenses and attacks are called in print, by name.
    """
    trial_ids = list(trial_ids)
    manifest = {
        "experiment": folder.experiment,
        "config": config,
        "git_commit": git_commit,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "num_trials": len(trial_ids),
        "trial_ids": trial_ids,
        "data_hashes": data_hashes,
        "pixel_scales": pixel_scales,
        "overrides": list(overrides),
        "labels": labels,
    }
    files.write_text(folder.manifest, json.dumps(manifest, indent=1) + "\n")
