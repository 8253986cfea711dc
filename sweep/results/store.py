"""Where records lie and which trials they complete.

results/.id                                      tells this folder from others (`results_id`)
results/<experiment>/records/<pack_id>.parquet   one row per trial x split x attack x radius
results/<experiment>/curves/<pack_id>.parquet    what was measured while training
results/<experiment>/manifest.json               what the commands under this name asked for
results/<experiment>/networks/<pack_id>.safetensors   trained networks (`sweep.results.weights`)
results/<experiment>/checkpoints/                packs in training (`sweep.pack.checkpoints`)
results/<experiment>/logs/                       one line per pack, tracebacks of failures

A pack's files are renamed into place, so a file that exists is complete. A trial is recorded by
the whole file that holds it. Every file carries a checksum of all its bytes (`checksum`), which
every reader compares before it believes a value: a start of a sweep those of all records and
of its own other tables, MLflow and the analysis those of what they show.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sweep import files, output
from sweep.errors import DamagedError, SchemaError, StorageError
from sweep.results import schema
from sweep.results.parquet import check, reading
from sweep.results.parquet import read_table as read_table
from sweep.results.parquet import write_table as write_table
from sweep.results.schema import NUMERICS_VERSION

FAILED = "failed"


def results_id(root: Path) -> str:
    """The id of a results folder, made once: it tells the folder's MLflow runs from others'.

    Raises:
        StorageError: the file does not hold an id.
        OSError: it cannot be written or read.
    """
    path = root / ".id"
    if not path.exists():
        files.write_first(path, secrets.token_hex(16) + "\n")
    text = path.read_bytes().strip() if path.is_file() else b""
    if re.fullmatch(rb"[0-9a-f]{32}", text) is None:
        raise StorageError(
            f"{path}: must hold the id of this results folder, 32 hexadecimal digits, and holds "
            f"{text[:40].decode(errors='replace')!r}; restore it, or delete it: all records are "
            "then logged to MLflow anew, and the runs of before stay there"
        )
    return text.decode()


def arrow_schema(columns: Mapping[str, tuple[str, bool]]) -> pa.Schema:
    """The Arrow schema of a table of `sweep.results.schema`."""
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
        """What the commands under this name asked for."""
        return self.path / "manifest.json"

    @property
    def logs(self) -> Path:
        """One line per pack, and the tracebacks of failures."""
        return self.path / "logs"

    def record_files(self) -> list[Path]:
        """All packs' records, in a fixed order."""
        return self.tables("records")

    def tables(self, kind: str) -> list[Path]:
        """The files of one kind of table (records, curves, strong), in a fixed order."""
        return sorted((self.path / kind).glob("[!.]*.parquet"))


def folders(root: Path, experiment: str = "") -> list[Folder]:
    """The experiments that have records, by name, or the one asked for.

    Raises:
        ValueError: there are none of that name.
    """
    known = sorted(path.parent.name for path in root.glob("*/records") if path.is_dir())
    if experiment and experiment not in known:
        names = ", ".join(known) or "none"
        raise ValueError(f"experiment={experiment}: no records under {root}; known: {names}")
    return [Folder(root, name) for name in ([experiment] if experiment else known)]


def write_pack(folder: Folder, pack_id: str, records: pa.Table, curves: pa.Table) -> None:
    """Write a pack's two tables; the records last, as they say that the pack is finished."""
    if curves.num_rows:
        write_table(folder.curves(pack_id), curves)
    write_table(folder.records(pack_id), records)


def statuses(path: Path) -> dict[str, str]:
    """Trial id -> status of one records file.

    All bytes are read for the checksum, about 3 per record; only these two columns are decoded.

    Raises:
        SchemaError: the file has another schema version.
        DamagedError: it does not hold what was written.
        FileNotFoundError: it is not there.
    """
    stat = path.stat()
    return dict(_read_statuses(path, stat.st_mtime_ns, stat.st_size))


# A start looks three times: for what is superseded, what is finished, and what MLflow lacks.
@lru_cache(maxsize=200_000)
def _read_statuses(path: Path, written_ns: int, size: int) -> tuple[tuple[str, str], ...]:
    check(path)
    with reading(path):
        return _decoded_statuses(path)


def _decoded_statuses(path: Path) -> tuple[tuple[str, str], ...]:
    footer = pq.read_metadata(path)
    _check_version(path, footer)
    wanted = ["trial_id", "status"]
    with pq.ParquetFile(
        path, metadata=footer, read_dictionary=wanted, page_checksum_verification=True
    ) as parquet:
        table = parquet.read(wanted, use_threads=False).unify_dictionaries()
    trials, status = (table[name].combine_chunks() for name in ("trial_id", "status"))
    codes = [column.indices.to_numpy() for column in (trials, status)]
    # A trial's rows lie together: look only where one of the two columns changes.
    changes = (np.diff(codes[0], prepend=-1) != 0) | (np.diff(codes[1], prepend=-1) != 0)
    at = np.flatnonzero(changes)
    names, outcomes = trials.dictionary.to_pylist(), status.dictionary.to_pylist()
    for outcome in outcomes:
        if outcome not in schema.STATUSES:
            raise ValueError(f"status {outcome!r}; known: {', '.join(schema.STATUSES)}")
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
    """The statuses of many records files; damaged ones are left out, and named once.

    Raises:
        SchemaError: a file has another schema version.
    """
    paths = list(paths)
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = zip(paths, pool.map(_sound_statuses, paths), strict=True)
        return {path: trials for path, trials in found if trials is not None}


def _sound_statuses(path: Path) -> dict[str, str] | None:
    try:
        return statuses(path)
    except FileNotFoundError:  # another experiment's driver has just tidied up
        return None
    except DamagedError as error:
        output.warn_once(f"{error}; what it held counts as not trained")
        return None


_CONSEQUENCES = {
    "records": "what it held is trained again",
    "curves": "what was measured while its trials trained is lost, their records are not",
    "strong": "sweep/strong.py attacks its network again",
}


def set_damaged_aside(folder: Folder) -> int:
    """Rename damaged files so that no one reads them, and say so.

    These are records of every experiment under the root, as all of them tell what is finished, and
    this experiment's other tables. The caller holds the experiment's lock.

    Returns:
        How many files.
    """
    damaged = 0
    for kind, consequence in _CONSEQUENCES.items():
        is_records = kind == "records"
        paths = _all_records(folder.root) if is_records else folder.tables(kind)
        with ThreadPoolExecutor(max_workers=4) as pool:
            problems = list(pool.map(partial(_problem, statuses if is_records else check), paths))
        for path, problem in zip(paths, problems, strict=True):
            if problem is not None:
                kept = files.set_aside(path)
                output.warn(f"{problem}; it is kept as {kept.name}, and {consequence}")
                damaged += 1
    return damaged


def _problem(read: Callable[[Path], object], path: Path) -> str | None:
    try:
        read(path)
    except FileNotFoundError:  # another experiment's driver has just tidied up
        return None
    except DamagedError as error:
        return str(error)
    return None


def _all_records(root: Path) -> list[Path]:
    return sorted(root.glob("*/records/[!.]*.parquet"))


def finished(root: Path) -> dict[str, str]:
    """Trial id -> status of every trial that any experiment has finished; failed ones left out."""
    found: dict[str, str] = {}
    for file_statuses in scan(_all_records(root)).values():
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
            path.unlink(missing_ok=True)
        elif lost:
            table = read_table(path)
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
    labels: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write down what this command asks for, beside what others asked for under this name.

    Trials of another version of training and evaluation are kept apart: they are not comparable.

    Args:
        trial_ids: of this command's grid; the manifest has those of all.
        pixel_scales: image set -> mean deviation of a standardised image, in pixels from 0 to 1.
        overrides: the arguments of sweep/run.py, which complete what is missing when given again.
        labels: what defenses and attacks are called in print, by name.
    """
    before, asked = _read_manifest(folder.manifest), list(trial_ids)
    same = before.get("numerics_version") == NUMERICS_VERSION
    known, older = _texts(before, "trial_ids"), _texts(before, "older_trial_ids")
    ids = list(dict.fromkeys([*(known if same else ()), *asked]))
    command = {
        "overrides": list(overrides),
        "git_commit": git_commit,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "num_trials": len(asked),
        "numerics_version": NUMERICS_VERSION,
    }
    manifest = {
        "experiment": folder.experiment,
        "config": config,
        "git_commit": git_commit,
        "created": command["created"],
        "numerics_version": NUMERICS_VERSION,
        "num_trials": len(ids),
        "trial_ids": ids,
        "older_trial_ids": list(dict.fromkeys([*older, *(() if same else known)])),
        "data_hashes": {**_mapping(before, "data_hashes"), **data_hashes},
        "pixel_scales": {**_mapping(before, "pixel_scales"), **pixel_scales},
        "overrides": list(overrides),
        "labels": {**_mapping(before, "labels"), **labels},
        "commands": [*_other_commands(before, command), command],
    }
    files.write_text(folder.manifest, json.dumps(manifest, indent=1) + "\n")


def _read_manifest(path: Path) -> Mapping[str, object]:
    """The manifest that is there; a damaged one is set aside."""
    try:
        manifest = json.loads(path.read_bytes()) if path.is_file() else {}
        if isinstance(manifest, dict):
            return manifest
        problem = "it is no mapping"
    except ValueError as error:
        problem = str(error)
    output.warn(
        f"{path}: is damaged ({problem}) and is kept as {files.set_aside(path).name}; tables show "
        "what is asked for from now on"
    )
    return {}


def _texts(manifest: Mapping[str, object], key: str) -> list[str]:
    values = manifest.get(key)
    return [str(value) for value in values] if isinstance(values, list) else []


def _mapping(manifest: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _other_commands(
    before: Mapping[str, object], command: Mapping[str, object]
) -> list[Mapping[str, object]]:
    """The commands of before, without earlier times of this one."""
    commands = before.get("commands")
    if not isinstance(commands, list):  # of a version that kept the last command only
        alone = {key: before[key] for key in command if key in before}
        commands = [alone] if alone else []
    same = ("overrides", "numerics_version")
    return [
        other
        for other in commands
        if isinstance(other, dict) and any(other.get(key) != command[key] for key in same)
    ]
