"""Where records lie and which trials they complete.

results/.id                                      tells this folder from others (`results_id`)
results/<experiment>/records/<pack_id>.parquet   one row per trial x split x attack x radius
results/<experiment>/records/<pack_id>.<rows>.parquet   rows that were added later
results/<experiment>/curves/<pack_id>.parquet    what was measured while training
results/<experiment>/manifest.json               what the commands under this name asked for
results/<experiment>/networks/<pack_id>.safetensors   trained networks (`sweep.results.weights`)
results/<experiment>/checkpoints/                packs in training (`sweep.pack.checkpoints`)
results/<experiment>/logs/                       one line per pack, tracebacks of failures

A pack's files are renamed into place, so a file that exists is complete. A trial's rows may lie in
several files: a row's key is its trial and its `evaluation_id`. Every file carries a checksum of
all its bytes (`checksum`), which every reader compares before it believes a value: a start of a
sweep those of all records and of its own other tables, MLflow and the analysis those of what they
show.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from sweep import files, output
from sweep.errors import DamagedError, SchemaError, StorageError
from sweep.results import checksum, schema
from sweep.results import summary as summaries
from sweep.results.parquet import check, reading
from sweep.results.parquet import read_table as read_table
from sweep.results.parquet import write_table as write_table
from sweep.results.schema import NUMERICS_VERSION
from sweep.results.summary import FAILED as FAILED
from sweep.results.summary import Recorded as Recorded
from sweep.results.summary import Summary

MIGRATE = "python -m sweep.results migrate"
_AT_A_TIME = 500  # files
Held = TypeVar("Held")


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

    Raises:
        SchemaError: the file has another schema version.
        DamagedError: it does not hold what was written.
        FileNotFoundError: it is not there.
    """
    return {trial: found.status for trial, found in recorded(path).items()}


def recorded(path: Path) -> Mapping[str, Recorded]:
    """Trial id -> status and rows of one records file.

    Raises:
        SchemaError: the file has another schema version.
        DamagedError: it does not hold what was written.
        FileNotFoundError: it is not there.
    """
    return summary(path).trials


def summary(path: Path) -> Summary:
    """What one records file holds; its bytes are read once while it stays as it is.

    All bytes are read for the checksum, about 3 per record. No column is decoded where the file
    has its summary, ten are where it has none.

    Raises:
        SchemaError: the file has another schema version.
        DamagedError: it does not hold what was written.
        FileNotFoundError: it is not there.
    """
    stat = path.stat()
    return _read_recorded(path, stat.st_mtime_ns, stat.st_size)


# A start looks four times: for damage, for what is superseded, finished, and made by other code.
@lru_cache(maxsize=200_000)
def _read_recorded(path: Path, written_ns: int, size: int) -> Summary:
    note = check(path)
    with reading(path):
        found = summaries.unpacked(note) if note else None
        return _decoded(path) if found is None else found


def _decoded(path: Path) -> Summary:
    footer = pq.read_metadata(path)
    _check_version(path, footer)
    names = [name for name in summaries.COLUMNS if name in footer.schema.names]
    with pq.ParquetFile(
        path, metadata=footer, read_dictionary=names, page_checksum_verification=True
    ) as parquet:
        return summaries.summary_of(parquet.read(names, use_threads=False).unify_dictionaries())


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
            raise SchemaError(_of_another_version(path, versions))


def _of_another_version(path: Path, versions: set[int]) -> str:
    """What to do with records of another schema."""
    whole = path.parent.parent
    older = bool(versions) and max(versions) < schema.SCHEMA_VERSION
    found = ", ".join(map(str, sorted(versions))) or "unknown"
    way = f"`{MIGRATE} results={whole.parent}` brings them along; or " if older else ""
    return (
        f"{path}: records of schema version {found}, this program writes "
        f"{schema.SCHEMA_VERSION}; {way}move the folder {whole} away or set paths.results to "
        "another folder"
    )


def scan(paths: Iterable[Path]) -> dict[Path, dict[str, str]]:
    """The statuses of many records files; damaged ones are left out, and named once.

    Raises:
        SchemaError: a file has another schema version.
    """
    return {
        path: {trial: own.status for trial, own in found.trials.items()}
        for path, found in summaries_of(paths).items()
    }


def summaries_of(paths: Iterable[Path]) -> dict[Path, Summary]:
    """What many records files hold; damaged ones are left out, and named once.

    Raises:
        SchemaError: a file has another schema version.
    """
    paths = list(paths)
    found = zip(paths, _in_threads(_sound, paths), strict=True)
    return {path: held for path, held in found if held is not None}


def _in_threads(read: Callable[[Path], Held], paths: Sequence[Path]) -> Iterator[Held]:
    """Read files, several at a time.

    Threads end after so many: of their memory they keep what is free while they live.
    """
    for start in range(0, len(paths), _AT_A_TIME):
        with ThreadPoolExecutor(max_workers=4) as pool:
            yield from pool.map(read, paths[start : start + _AT_A_TIME])


def _sound(path: Path) -> Summary | None:
    try:
        return summary(path)
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
        problems = _in_threads(partial(_problem, summary if is_records else check), paths)
        for path, problem in list(zip(paths, problems, strict=True)):
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
    return {trial: found.status for trial, (found, _) in known(root).items()}


def known(root: Path) -> dict[str, tuple[Recorded, Path]]:
    """What all experiments have finished: trial id -> what is recorded of it, and a file of it."""
    found: dict[str, tuple[Recorded, Path]] = {}
    for path, held in summaries_of(_all_records(root)).items():
        places: dict[Recorded, tuple[Recorded, Path]] = {}  # one for the trials that are alike
        for trial, own in held.trials.items():
            if own.status == FAILED:
                continue
            if trial in found:
                before, first = found[trial]
                found[trial] = summaries.together(before, own), first
            else:
                found[trial] = places.setdefault(own, (own, path))
    return found


def consolidate(folder: Folder) -> int:
    """Leave each row of a trial in one file: finished beats failed, then newer beats older.

    Needed after a failed trial was retried in another pack, and after a killed driver's last
    worker finished a pack that the next driver had cut differently.

    Returns:
        How many trials lost rows of a file.
    """
    dropped = 0
    for path, lost in _superseded(summaries_of(folder.record_files())).items():
        dropped += len(lost)
        table = read_table(path)
        trials, rows = (table[name].to_pylist() for name in ("trial_id", "evaluation_id"))
        keep = [
            trial not in lost or row not in lost[trial]
            for trial, row in zip(trials, rows, strict=True)
        ]
        if any(keep):
            write_table(path, table.filter(pa.array(keep)))
        else:
            path.unlink(missing_ok=True)
    return dropped


Lost = dict[str, frozenset[str | None]]  # trial id -> rows that count no longer


def _superseded(scanned: Mapping[Path, Summary]) -> dict[Path, Lost]:
    """The rows of each file that another file has in a better form."""
    places = _in_several(scanned)
    written = {path: path.stat().st_mtime_ns for paths in places.values() for path in paths}
    found: dict[Path, Lost] = {}
    for trial, paths in places.items():
        own = {path: scanned[path].trials[trial] for path in paths}
        best_first = sorted(
            paths, key=lambda p: (own[p].status != FAILED, written[p], p), reverse=True
        )
        finished_once = own[best_first[0]].status != FAILED
        seen: set[str] = set()
        for path in best_first:
            failed_now = own[path].status == FAILED and finished_once
            lost = own[path].rows if failed_now else own[path].rows & seen
            if lost or (failed_now and not own[path].rows):
                found.setdefault(path, {})[trial] = frozenset({*lost, None})
            seen |= own[path].rows
    return found


def _in_several(scanned: Mapping[Path, Summary]) -> dict[str, list[Path]]:
    """The files of each trial that stands in more than one."""
    first: dict[str, Path] = {}
    several: dict[str, list[Path]] = {}
    for path, held in scanned.items():
        for trial in held.trials:
            if first.setdefault(trial, path) is not path:
                several.setdefault(trial, [first[trial]]).append(path)
    return several


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
    kept_trial_ids: Iterable[str] = (),
) -> None:
    """Write down what this command asks for, beside what others asked for under this name.

    Trials of another version of training and evaluation are kept apart: they are not comparable.

    Args:
        trial_ids: of this command's grid; the manifest has those of all.
        pixel_scales: image set -> mean deviation of a standardised image, in pixels from 0 to 1.
        overrides: the arguments of sweep/run.py, which complete what is missing when given again.
        labels: what defenses and attacks are called in print, by name.
        kept_trial_ids: those whose networks this command keeps whatever selection picks.
    """
    before, asked = _read_manifest(folder.manifest), list(trial_ids)
    same = before.get("numerics_version") == NUMERICS_VERSION
    known, older = _texts(before, "trial_ids"), _texts(before, "older_trial_ids")
    ids = list(dict.fromkeys([*(known if same else ()), *asked]))
    kept = _kept(before).union(kept_trial_ids)
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
        "only_selected_trial_ids": [trial for trial in ids if trial not in kept],
        "data_hashes": {**_mapping(before, "data_hashes"), **data_hashes},
        "pixel_scales": {**_mapping(before, "pixel_scales"), **pixel_scales},
        "overrides": list(overrides),
        "labels": {**_mapping(before, "labels"), **labels},
        "commands": [*_other_commands(before, command), command],
    }
    files.write_text(folder.manifest, checksum.sealed_json(manifest))


def kept_trials(folder: Folder) -> frozenset[str]:
    """The trials whose networks some command keeps whatever selection picks.

    A manifest that cannot be read names none.
    """
    try:
        manifest = json.loads(folder.manifest.read_bytes())
    except (OSError, ValueError):
        return frozenset()
    return _kept(manifest) if isinstance(manifest, dict) else frozenset()


def _kept(manifest: Mapping[str, object]) -> frozenset[str]:
    """The trials that a manifest keeps; an older one tells what its last command kept."""
    asked = _texts(manifest, "trial_ids")
    if "only_selected_trial_ids" in manifest:
        return frozenset(asked) - frozenset(_texts(manifest, "only_selected_trial_ids"))
    config = _mapping(manifest, "config")
    found = config.get("parts")
    parts = found if isinstance(found, list) else [config]
    kept = [_mapping(part, "keep").get("networks") for part in parts if isinstance(part, dict)]
    return frozenset(asked) if "all" in kept else frozenset()


def _read_manifest(path: Path) -> Mapping[str, object]:
    """The manifest that is there; a damaged one is set aside."""
    try:
        manifest = json.loads(path.read_bytes()) if path.is_file() else {}
        if not isinstance(manifest, dict):
            problem = "it is no mapping"
        elif (damage := checksum.damage_of_json(manifest)) is None:
            return manifest
        else:
            problem = damage
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
