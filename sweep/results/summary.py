"""What a file of records holds, in short: trials, rows, and the code that made them (pure).

It stands in the file beside the checksum (`sweep.results.checksum`), as JSON packed by zlib, so
that a start over many files decodes no column: it reads each file once, for the checksum. A file
without one, of an older version or of another program, is summed up from its columns, which gives
the same.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sweep.results import schema

FAILED: Final = "failed"
KEY_COLUMNS: Final = ("trial_id", "status", "evaluation_id", "curve_options")
SOURCE_COLUMNS: Final = (
    *("defense", "network", "attack"),
    *("source_fingerprint", "evaluation_fingerprint", "git_commit"),
)
COLUMNS: Final = (*KEY_COLUMNS, *SOURCE_COLUMNS)
_FORMAT: Final = 1
_FAST: Final = 1  # level of zlib: the others take longer and save little
_SAFE_CODE: Final = 2**40  # codes of several columns are made one below this

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What records say of a trial.

    Attributes:
        status: of the trial.
        rows: the `evaluation_id` of each of its rows.
        curves: its `curve_options`.
    """

    status: str
    rows: frozenset[str]
    curves: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What made a row: columns of the records.

    Attributes:
        defense, network, attack: names.
        training, evaluation: fingerprints; None where unknown.
        commit: that was checked out.
    """

    defense: str
    network: str
    attack: str
    training: str | None
    evaluation: str | None
    commit: str


Sources = tuple[tuple[Source, int], ...]  # each source, and how many rows of a trial it made


@dataclass(frozen=True, slots=True)
class Alike:
    """Trials of a file, not failed, whose rows the same sources made."""

    trials: tuple[str, ...]
    sources: Sources


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file of records holds.

    Attributes:
        trials: trial id -> what is recorded of it.
        made: what made the rows of trials that have not failed.
    """

    trials: Mapping[str, Recorded]
    made: tuple[Alike, ...]


# A million trials have few different values of all these: each is kept once.
@lru_cache(maxsize=100_000)
def shared_rows(rows: frozenset[str]) -> frozenset[str]:
    """Return the same set for all files."""
    return rows


@lru_cache(maxsize=100_000)
def _shared(recorded: Recorded) -> Recorded:
    return recorded


@lru_cache(maxsize=100_000)
def _shared_sources(sources: Sources) -> Sources:
    return sources


def together(one: Recorded, other: Recorded) -> Recorded:
    """What two places say of a trial; what failed says nothing where the other did not."""
    if (one.status == FAILED) != (other.status == FAILED):
        return one if other.status == FAILED else other
    if other.rows <= one.rows:
        return one
    return _shared(Recorded(one.status, shared_rows(one.rows | other.rows), one.curves))


def summary_of(table: pa.Table) -> Summary:
    """Sum up records.

    Args:
        table: with `KEY_COLUMNS`; of `SOURCE_COLUMNS` those that stand in the records.

    Raises:
        ValueError: an unknown status.
    """
    columns = {name: _codes(table, name) for name in COLUMNS}
    for outcome in columns["status"][1][:-1]:
        if outcome not in schema.STATUSES:
            raise ValueError(f"status {outcome!r}; known: {', '.join(schema.STATUSES)}")
    trial_codes, trial_ids = columns["trial_id"]
    key_codes = _joined([columns[name] for name in KEY_COLUMNS[1:]])
    made_codes = _joined([columns[name] for name in SOURCE_COLUMNS])
    found: dict[str, Recorded] = {}
    made: dict[Sources, list[str]] = {}
    known: dict[bytes, tuple[Recorded, Sources]] = {}  # most trials of a pack are alike
    # A trial's rows lie together: look only where trial or status change.
    changes = (np.diff(trial_codes, prepend=-1) != 0) | (
        np.diff(columns["status"][0], prepend=-1) != 0
    )
    for start, stop in pairwise([*np.flatnonzero(changes).tolist(), table.num_rows]):
        key = key_codes[start:stop].tobytes() + made_codes[start:stop].tobytes()
        if key not in known:
            own = {name: (codes[start:stop], values) for name, (codes, values) in columns.items()}
            known[key] = _recorded(own), _sources(own)
        recorded, sources = known[key]
        trial = trial_ids[trial_codes[start]]
        found[trial] = together(found[trial], recorded) if trial in found else recorded
        if recorded.status != FAILED:
            made.setdefault(sources, []).append(trial)
    alike = tuple(Alike(tuple(trials), sources) for sources, trials in made.items())
    return Summary(MappingProxyType(found), alike)


Coded = tuple[Codes, list[Any]]  # the number of each row's value, and the values: null last


def _codes(table: pa.Table, name: str) -> Coded:
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.int64), [None]
    column = table[name].combine_chunks()
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = [*column.dictionary.to_pylist(), None]
    codes = column.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), values


def _joined(columns: Sequence[Coded]) -> Codes:
    """One number for the values of several columns: equal where all of these are."""
    joined, size = np.zeros(len(columns[0][0]), np.int64), 1
    for codes, values in columns:
        if len(values) == 2 and codes.size and not codes.any():
            continue  # one value in every row
        if size * len(values) > _SAFE_CODE:
            different, joined = np.unique(joined, return_inverse=True)
            size = len(different)
        joined, size = joined * len(values) + codes, size * len(values)
    return joined


def _recorded(rows: Mapping[str, Coded]) -> Recorded:
    """What the rows of a trial say of it."""
    codes, ids = rows["evaluation_id"]
    evaluations = frozenset(ids[code] for code in set(codes.tolist())) - {None}
    status, curves = (
        values[codes[0]] for codes, values in _named(rows, "status", "curve_options")
    )
    return _shared(Recorded(status, shared_rows(evaluations), curves))


def _sources(rows: Mapping[str, Coded]) -> Sources:
    """What made the rows of a trial."""
    columns = list(_named(rows, *SOURCE_COLUMNS))
    _, first, counts = np.unique(_joined(columns), return_index=True, return_counts=True)
    found = [
        (Source(*(values[codes[place]] for codes, values in columns)), count)
        for place, count in zip(first.tolist(), counts.tolist(), strict=True)
    ]
    return _shared_sources(tuple(sorted(found, key=str)))


def _named(rows: Mapping[str, Coded], *names: str) -> Iterator[Coded]:
    return (rows[name] for name in names)


def packed(table: pa.Table) -> bytes | None:
    """Return the summary of a table as bytes; None where it is none of records of this schema."""
    if not {"schema_version", *COLUMNS} <= set(table.column_names):
        return None
    if table["schema_version"].unique().to_pylist() != [schema.SCHEMA_VERSION]:
        return None
    try:
        summary = summary_of(table)
    except ValueError:  # whoever reads the file says so
        return None
    return _packed(summary)


def _packed(summary: Summary) -> bytes:
    trials = list(summary.trials)
    number = {trial: place for place, trial in enumerate(trials)}
    alike: dict[Recorded, list[int]] = {}
    for trial, recorded in summary.trials.items():
        alike.setdefault(recorded, []).append(number[trial])
    content = {
        "format": _FORMAT,
        "schema_version": schema.SCHEMA_VERSION,
        "trials": trials,
        "recorded": [
            [own.status, sorted(own.rows), own.curves, places] for own, places in alike.items()
        ],
        "made": [
            [[[*_fields(source), count] for source, count in own.sources],
             [number[trial] for trial in own.trials]]
            for own in summary.made
        ],
    }  # fmt: skip
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), _FAST)


def _fields(source: Source) -> list[str | None]:
    return [
        *(source.defense, source.network, source.attack),
        *(source.training, source.evaluation, source.commit),
    ]


def unpacked(data: bytes) -> Summary | None:
    """Return the summary that stands in a file; None where another version wrote it."""
    content = json.loads(zlib.decompress(data))
    if (content["format"], content["schema_version"]) != (_FORMAT, schema.SCHEMA_VERSION):
        return None
    ids: list[str] = content["trials"]
    trials: list[Recorded | None] = [None] * len(ids)
    for status, rows, curves, places in content["recorded"]:
        own = _shared(Recorded(status, shared_rows(frozenset(rows)), curves))
        for place in places:
            trials[place] = own
    made = []
    for sources, places in content["made"]:
        made_by = tuple((Source(*fields), count) for *fields, count in sources)
        made.append(Alike(tuple(ids[place] for place in places), _shared_sources(made_by)))
    found = dict(zip(ids, trials, strict=True))
    return Summary(MappingProxyType({t: own for t, own in found.items() if own}), tuple(made))
