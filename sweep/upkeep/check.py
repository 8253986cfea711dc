"""Whether what is on disk is what was written, and says by itself what it is.

Nothing is changed. A finding is one line that begins with the file that it is about.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from robust import networks
from sweep.errors import DamagedError, SchemaError
from sweep.pack.train import weights_hash
from sweep.results import checksum, identity, schema, store, weights
from sweep.results.parquet import check as check_bytes
from sweep.results.parquet import reading
from sweep.results.store import Folder

_KEY = ("trial_id", "evaluation_id")
_SHOWN = 3  # of several things of one kind that are wrong in one file


@dataclass
class Seen:
    """What was gone through, and what was found.

    Attributes:
        findings: a line each.
        counts: files of each kind, rows and trials, for the summary.
        weights: trial id -> the hashes of weights that its records name.
    """

    findings: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    weights: dict[str, set[str]] = field(default_factory=dict)

    def add(self, path: Path, problem: str) -> None:
        """Note what is wrong with a file."""
        self.findings.append(f"{path}: {problem}")


def check(root: Path, experiment: str = "") -> Seen:
    """Go through the records, curves, strong attacks, weights and manifests of a results folder.

    Args:
        root: the folder of all experiments' results.
        experiment: one of them; all where it is empty.

    Raises:
        ValueError: there is none of that name.
    """
    seen = Seen()
    chosen = store.folders(root, experiment)
    recorded = {folder.experiment: _records(folder, seen) for folder in chosen}
    # A trial that another experiment recorded is not trained again.
    everywhere = set[str]().union(*recorded.values())
    for folder in store.folders(root) if experiment else []:
        if folder.experiment != experiment:
            everywhere.update(*map(_trials_of, folder.record_files()))
    for folder in chosen:
        _others(folder, seen)
        _weights(folder, seen)
        _manifest(folder, recorded[folder.experiment], everywhere, seen)
    seen.counts["experiments"] = len(chosen)
    seen.counts["trials"] = len(set[str]().union(*recorded.values()))
    return seen


def _trials_of(path: Path) -> Iterable[str]:
    try:
        return store.statuses(path)
    except (DamagedError, SchemaError, FileNotFoundError):
        return ()


def _records(folder: Folder, seen: Seen) -> set[str]:
    """Check the records of an experiment; return the trials that they hold."""
    files_of: dict[str, list[Path]] = {}
    for path in folder.record_files():
        seen.counts["files of records"] += 1
        table = _read(path, schema.RECORD_COLUMNS, seen)
        if table is not None:
            _rows(path, table, seen)
            _named_weights(table, seen)
            for trial in table["trial_id"].unique().to_pylist():
                files_of.setdefault(trial, []).append(path)
    _once(files_of, seen)
    return set(files_of)


def _named_weights(table: pa.Table, seen: Seen) -> None:
    """Note which weights records say that they are of; those of schema 1 do not."""
    pairs = table.group_by(["trial_id", "weights_hash"]).aggregate([]).to_pylist()
    for pair in pairs:
        if pair["weights_hash"] is not None:
            seen.weights.setdefault(pair["trial_id"], set()).add(pair["weights_hash"])


def _others(folder: Folder, seen: Seen) -> None:
    """Check the tables of an experiment beside its records."""
    for path in folder.tables("curves"):
        seen.counts["files of curves"] += 1
        _read(path, schema.CURVE_COLUMNS, seen)
    for path in folder.tables("strong"):
        seen.counts["files of strong attacks"] += 1
        table = _read(path, schema.RECORD_COLUMNS, seen)
        if table is not None:
            _rows(path, table, seen)


def _read(path: Path, columns: Mapping[str, object], seen: Seen) -> pa.Table | None:
    """A table of today's schema whose bytes are those that were written."""
    try:
        check_bytes(path)
        with reading(path):
            names = pq.read_schema(path).names
            lacking = [name for name in columns if name not in names]
            if "schema_version" not in lacking:
                versions = _versions(path)
                if versions != {schema.SCHEMA_VERSION}:
                    seen.add(path, _of_another_version(versions))
                    return None
            if lacking:
                seen.add(path, f"lacks the columns {', '.join(lacking)}")
                return None
            return pq.read_table(path, page_checksum_verification=True, partitioning=None)
    except (DamagedError, OSError) as error:
        text = str(error).removeprefix(f"{path}: ")
        seen.add(path, text)
        return None


def _versions(path: Path) -> set[int]:
    column = pq.read_table(path, columns=["schema_version"], partitioning=None)
    return set(column["schema_version"].unique().to_pylist())


def _of_another_version(versions: set[int]) -> str:
    older = all(version < schema.SCHEMA_VERSION for version in versions)
    what = "`python -m sweep.results migrate` brings it along" if older else "is not known here"
    shown = ", ".join(map(str, sorted(versions))) or "none"
    return f"has schema version {shown}; {what}"


def _rows(path: Path, table: pa.Table, seen: Seen) -> None:
    """Check what rows say of themselves: ids, statuses, accuracies."""
    seen.counts["rows"] += table.num_rows
    _ids(path, table, "trial_id", identity.TRIAL_FIELDS, identity.trial_id, seen)
    fields = identity.EVALUATION_FIELDS
    _ids(path, table, "evaluation_id", fields, identity.evaluation_id, seen)
    repeated = table.num_rows - table.group_by(list(_KEY)).aggregate([]).num_rows
    if repeated:
        seen.add(path, f"{repeated:,} rows stand in it twice")
    for name, allowed in (("status", schema.STATUSES), ("split", schema.SPLITS)):
        odd = [value for value in table[name].unique().to_pylist() if value not in allowed]
        if odd:
            seen.add(path, f"{name} {_some(odd)}; known: {', '.join(allowed)}")
    accuracy = table["accuracy"]
    outside = pc.or_(pc.less(accuracy, 0), pc.greater(accuracy, 1))
    wrong = pc.sum(pc.fill_null(pc.or_(outside, pc.is_nan(accuracy)), False)).as_py() or 0
    if wrong:
        seen.add(path, f"{wrong:,} accuracies lie outside of [0, 1]")
    complete = pc.equal(table["status"], "complete")
    other = pc.sum(pc.equal(complete, pc.is_null(accuracy))).as_py() or 0
    if other:
        seen.add(path, f"{other:,} rows have an accuracy and are not complete, or lack one")


def _ids(
    path: Path,
    table: pa.Table,
    column: str,
    fields: Iterable[str],
    compute: Callable[[Mapping[str, object]], str],
    seen: Seen,
) -> None:
    """Compute ids again from the columns that they are hashes of."""
    wrong = []
    for row in table.group_by([column, *fields], use_threads=False).aggregate([]).to_pylist():
        try:
            found = compute(row)
        except ValueError as error:  # a number that JSON has not
            found = f"nothing ({error})"
        if found != row[column]:
            wrong.append(f"{row[column]} comes to {found}")
    if wrong:
        seen.add(path, f"{column} {_some(wrong)} from its columns")


def _once(files_of: Mapping[str, Sequence[Path]], seen: Seen) -> None:
    """Note rows that stand in several files of an experiment: rows added later are others.

    Args:
        files_of: trial id -> the files that have rows of it.
    """
    shared: dict[tuple[Path, ...], list[str]] = {}
    for trial, paths in files_of.items():
        if len(paths) > 1:
            shared.setdefault(tuple(paths), []).append(trial)
    for paths, trials in shared.items():
        first: dict[tuple[str, str], Path] = {}
        again: Counter[Path] = Counter()
        for path in paths:
            for key in _keys(path, trials):
                again[path] += first.setdefault(key, path) is not path
        for path in paths:
            if again[path]:
                seen.add(path, f"{again[path]:,} of its rows stand in another file too")


def _keys(path: Path, trials: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the keys of the rows of some trials."""
    some = pc.is_in(pc.field("trial_id"), pa.array(trials))
    table = pq.read_table(path, columns=list(_KEY), filters=some, partitioning=None)
    yield from zip(*(table[name].to_pylist() for name in _KEY), strict=True)


def _weights(folder: Folder, seen: Seen) -> None:
    """Check the weights of an experiment."""
    for path in weights.files_of(folder):
        seen.counts["files of weights"] += 1
        try:
            weights.check(path)
            trials = weights.trials_of(path)
            _same_weights(path, trials, seen)
        except (DamagedError, OSError, ValueError) as error:  # ValueError: they do not fit
            seen.add(path, str(error).removeprefix(f"{path}: "))
            continue
        repeated = [trial for trial, count in Counter(trials).items() if count > 1]
        if repeated:
            seen.add(path, f"holds trial {_some(repeated)} more than once")


def _same_weights(path: Path, trials: Sequence[str], seen: Seen) -> None:
    """Compare weights with those that the records of their trials were measured on."""
    if not seen.weights.keys() & set(trials):
        return
    net = networks.load(path)
    wrong = []
    for index, trial in enumerate(trials):
        found, named = weights_hash(net, index), seen.weights.get(trial)
        if named and found not in named:
            wrong.append(f"of trial {trial} come to {found}, recorded is {_some(sorted(named))}")
    if wrong:
        seen.add(path, f"holds other weights than records are of: those {_some(wrong)}")


def _manifest(folder: Folder, recorded: set[str], everywhere: set[str], seen: Seen) -> None:
    """Check that a manifest can be read, and knows the trials that are recorded."""
    path = folder.manifest
    if not path.is_file():
        seen.add(path, "is missing; tables show every record then")
        return
    seen.counts["manifests"] += 1
    try:
        manifest = json.loads(path.read_bytes())
        asked = set(map(str, manifest["trial_ids"]))
        older = set(map(str, manifest.get("older_trial_ids", [])))
        damage = checksum.damage_of_json(manifest)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        damage = f"{type(error).__name__}: {error}"
    if damage is not None:
        seen.add(path, f"is damaged ({damage})")
        return
    missing, unasked = asked - everywhere, recorded - asked - older
    if missing:
        seen.add(
            path,
            f"{len(missing):,} of {len(asked):,} trials that were asked for are not recorded, as "
            f"{min(missing)}; the same sweep again trains them",
        )
    if unasked:
        seen.add(path, f"{len(unasked):,} recorded trials were never asked for, as {min(unasked)}")


def _some(values: Iterable[object]) -> str:
    """The first of several values, and how many more there are."""
    texts = [str(value) for value in values]
    more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def lines_of(seen: Seen, root: Path) -> Iterator[str]:
    """Yield each finding, and a summary."""
    yield from seen.findings
    counted = ", ".join(f"{count:,} {name}" for name, count in seen.counts.items())
    found = f"{len(seen.findings):,} findings" if seen.findings else "nothing is wrong"
    yield f"{root}: {counted}: {found}"
