"""The summary of a file of records says what its columns say, and is believed only when sound."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweep.driver import stale
from sweep.errors import DamagedError, SchemaError
from sweep.results import checksum, schema, store, summary
from sweep.results.summary import Summary
from tests.sweep.helpers import trials
from tests.sweep.results.test_store import table

SOURCE = ("defense", "network", "attack", "source_fingerprint", "evaluation_fingerprint")


def mixed(seed: int) -> pa.Table:
    """Records whose trials differ in status, rows, curves and sources, in any order."""
    draw = random.Random(seed)
    rows = table(trials()).to_pylist()
    fate = {row["trial_id"]: draw.choice(schema.STATUSES) for row in rows}
    kept = [row for row in rows if draw.random() < 0.8]
    for row in kept:
        row["status"] = fate[row["trial_id"]]
        row["evaluation_fingerprint"] = draw.choice([None, "0" * 12, "1" * 12])
        row["source_fingerprint"] = draw.choice([None, "2" * 12]) if draw.random() < 0.3 else None
        row["git_commit"] = draw.choice(["a" * 40, "b" * 40])
    if seed % 2:
        draw.shuffle(kept)
    return pa.Table.from_pylist(kept, schema=store.RECORDS)


def plain_trials(rows: list[dict[str, Any]]) -> dict[str, tuple[str, frozenset[str]]]:
    """What rows say of each trial, one row after another."""
    status: dict[str, str] = {}
    ids: dict[str, set[str]] = {}
    for row in rows:
        status[row["trial_id"]] = row["status"]
        ids.setdefault(row["trial_id"], set()).add(row["evaluation_id"])
    return {trial: (status[trial], frozenset(ids[trial])) for trial in status}


def plain_sources(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """How many rows of trials that have not failed each source made."""
    finished = (row for row in rows if row["status"] != "failed")
    return Counter((*(row[name] for name in SOURCE), row["git_commit"]) for row in finished)


def said_trials(found: Summary) -> dict[str, tuple[str, frozenset[str]]]:
    return {trial: (own.status, own.rows) for trial, own in found.trials.items()}


def said_sources(found: Summary) -> Counter[tuple[Any, ...]]:
    counts: Counter[tuple[Any, ...]] = Counter()
    for alike in found.made:
        for source, rows in alike.sources:
            names = (source.defense, source.network, source.attack)
            made_by = (*names, source.training, source.evaluation, source.commit)
            counts[made_by] += rows * len(alike.trials)
    return counts


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("written_with", ["its summary", "none"])
def test_summary_says_what_a_walk_over_rows_says(
    tmp_path: Path, seed: int, written_with: str
) -> None:
    records, path = mixed(seed), tmp_path / "a.parquet"
    if written_with == "none":
        pq.write_table(records, path)
    else:
        store.write_table(path, records)
    rows, found = records.to_pylist(), store.summary(path)
    assert said_trials(found) == plain_trials(rows)
    assert said_sources(found) == plain_sources(rows)
    curves = {row["trial_id"]: row["curve_options"] for row in rows}
    assert {trial: own.curves for trial, own in found.trials.items()} == curves


def test_file_with_its_summary_has_no_column_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    store.write_table(path, table(trials()))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a column was decoded")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    monkeypatch.setattr(pq, "read_metadata", refuse)
    assert set(store.summary(path).trials) == {trial.trial_id for trial in trials()}


def test_each_file_is_read_once_by_all_that_a_start_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.Folder(tmp_path, "small")
    for name, trial in zip("abcd", trials(), strict=True):
        store.write_table(folder.records(name), table([trial]))
    seen: list[Path] = []
    inspect = checksum.inspect
    monkeypatch.setattr(checksum, "inspect", lambda path: (seen.append(path), inspect(path))[1])
    store.set_damaged_aside(folder)
    store.consolidate(folder)
    known = store.known(tmp_path)
    made = stale.recorded_sources(folder.record_files(), known.keys())
    assert len(known) == len(frozenset[str]().union(*(one.trials for one in made))) == 4
    assert sorted(seen) == folder.record_files()
    store.write_table(folder.records("a"), table([trials()[0]], failed=True))
    assert len(store.known(tmp_path)) == 3
    assert seen[4:] == [folder.records("a")]


def test_summary_of_other_bytes_is_never_believed(tmp_path: Path) -> None:
    """Rows dropped by another program; a note that says something else under no checksum."""
    path = tmp_path / "a.parquet"
    store.write_table(path, table(trials()))
    pq.write_table(pq.read_table(path).slice(1), path)
    whole = store.summary(path)
    assert said_trials(whole) == plain_trials(pq.read_table(path).to_pylist())
    store.write_table(path, table(trials()))
    content = path.read_bytes()
    note = checksum.inspect(path)[1]
    place = content.index(note) + len(note) // 2
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    os.utime(path, (9, 9))
    with pytest.raises(DamagedError, match="not those that were written"):
        store.summary(path)


def test_summary_of_another_version_is_read_from_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    records = table(trials())
    pq.write_table(records, path)
    before = said_trials(store.summary(path))
    later = summary.packed(records)
    assert later is not None
    for name, other in (("format", b'"format":9'), ("schema_version", b'"schema_version":9')):
        text = summary.zlib.decompress(later)
        now = f'"{name}":{summary._FORMAT if name == "format" else schema.SCHEMA_VERSION}'
        changed = summary.zlib.compress(text.replace(now.encode(), other))
        assert summary.unpacked(changed) is None
        pq.write_table(records, path)
        checksum.add(path, changed)
        os.utime(path, (len(name), len(name)))
        assert said_trials(store.summary(path)) == before


def test_records_of_another_schema_are_refused_whatever_is_written_beside(tmp_path: Path) -> None:
    path = tmp_path / "records" / "a.parquet"
    records = table(trials())
    column = records.schema.get_field_index("schema_version")
    old = records.set_column(
        column, records.schema.field(column), pa.array([1] * records.num_rows, pa.int32())
    )
    store.write_table(path, old)
    assert checksum.inspect(path)[1] == b""
    with pytest.raises(SchemaError, match="schema version"):
        store.summary(path)


def test_tables_without_records_have_no_summary(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    store.write_table(path, pa.table({"x": [1]}))
    assert checksum.inspect(path) == (None, b"")


def test_columns_stay_as_they_are_beside_a_summary(tmp_path: Path) -> None:
    path, records = tmp_path / "a.parquet", table(trials())
    store.write_table(path, records)
    assert store.read_table(path).equals(records, check_metadata=True)
    assert pl.read_parquet(path).equals(pl.from_arrow(records))


def test_file_that_lacks_fingerprints_is_of_unknown_source(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    names = ["source_fingerprint", "evaluation_fingerprint"]
    pq.write_table(table(trials()).drop_columns(names), path)
    (source,) = {
        (source.training, source.evaluation)
        for alike in store.summary(path).made
        for source, _ in alike.sources
    }
    assert source == (None, None)


def test_no_rows_are_no_trials() -> None:
    assert summary.summary_of(store.RECORDS.empty_table()) == Summary({}, ())
    assert summary.packed(store.RECORDS.empty_table()) is None


def test_many_different_values_are_told_apart() -> None:
    """Every row of its own source: codes of the columns exceed any fixed number of bits."""
    count = 3000
    base = table(trials()[:1]).slice(0, 1).to_pylist()[0]
    rows = [
        {**base, "trial_id": f"t{i:05d}"} | {name: f"{name}{i}" for name in summary.SOURCE_COLUMNS}
        for i in range(count)
    ]
    found = summary.summary_of(pa.Table.from_pylist(rows, schema=store.RECORDS))
    assert len(found.made) == len(found.trials) == count
    assert said_sources(found) == plain_sources(rows)
