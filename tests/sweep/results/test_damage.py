"""Files of records that are not what was written: found, named, set aside, trained again."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import locate
from analysis.load import load
from robust_sweep import run
from sweep.errors import DamagedError
from sweep.results import checksum, schema, store
from sweep.tracking.tracker import main
from tests.robust_sweep.test_run import SMALL
from tests.sweep.helpers import trials
from tests.sweep.results.test_store import table, write

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a bit of a page": lambda whole: flipped(whole, 700),
    "a bit of the footer": lambda whole: flipped(whole, len(whole) - 100),
    "the footer's length": lambda whole: flipped(whole, len(whole) - 8),
    "truncated": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "four bytes": lambda whole: b"PAR1",
    "no parquet": lambda whole: b"not parquet",
    "zeros at the end": lambda whole: whole[:-512] + bytes(512),
}


def flipped(whole: bytes, place: int, bit: int = 0) -> bytes:
    return whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :]


def unnoticed(path: Path, places: range | list[int]) -> list[int]:
    """The bytes of which a flipped bit changes what a reader of the file believes."""
    whole, before = path.read_bytes(), store.read_table(path)
    recorded = store.recorded(path)
    changed = []
    for place in places:
        path.write_bytes(flipped(whole, place, place % 8))
        store._read_recorded.cache_clear()
        try:
            same = store.read_table(path).equals(before) and store.recorded(path) == recorded
        except DamagedError as error:
            assert str(path) in str(error)
            continue
        if not same:
            changed.append(place)
    path.write_bytes(whole)
    return changed


@pytest.fixture
def folder(tmp_path: Path) -> store.Folder:
    return store.Folder(tmp_path / "results", "small")


def test_flipped_bit_is_found_or_changes_nothing(folder: store.Folder) -> None:
    path = write(folder, "a", table(trials()[:1]))
    size = path.stat().st_size
    sample = random.Random(0).sample(range(size), 250)
    assert unnoticed(path, [*sample, *range(size - 80, size)]) == []


@pytest.mark.slow
def test_any_flipped_bit_is_found_or_changes_nothing(folder: store.Folder) -> None:
    path = write(folder, "a", table(trials()[:1]))
    assert unnoticed(path, range(path.stat().st_size)) == []


def test_checksum_is_of_the_file_and_not_taken_along_by_other_writers(tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    store.write_table(first, pa.table({"x": [1, 2]}))
    pq.write_table(pq.read_table(first), second)
    for path in (first, second):
        assert checksum.damage(path) is None
        assert store.read_table(path)["x"].to_pylist() == [1, 2]
    second.write_bytes(flipped(first.read_bytes(), 20))
    assert checksum.damage(second) is not None


def test_large_file_is_checked_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.parquet"
    store.write_table(path, pa.table({"x": list(range(5000))}))
    whole = path.read_bytes()
    monkeypatch.setattr(checksum, "_BLOCK", 1000)
    assert checksum.damage(path) is None
    for place in (999, 1000, 1001, len(whole) - 1001):
        path.write_bytes(flipped(whole, place))
        assert checksum.damage(path) is not None


def test_records_written_without_checksum_are_read(folder: store.Folder) -> None:
    path = folder.records("old")
    path.parent.mkdir(parents=True)
    old = table(trials()[:1])
    pq.write_table(old, path)
    assert store.read_table(path).equals(old)
    assert set(store.finished(folder.root)) == {trials()[0].trial_id}


def test_unknown_status_of_a_file_without_checksum_is_damage(folder: store.Folder) -> None:
    """A flipped letter of `failed` must not make a trial finished."""
    path = folder.records("old")
    path.parent.mkdir(parents=True)
    old = table(trials()[:1])
    column = old.schema.get_field_index("status")
    pq.write_table(
        old.set_column(column, old.schema.field(column), pa.array(["faimed"] * old.num_rows)), path
    )
    with pytest.raises(DamagedError, match="faimed"):
        store.statuses(path)


def test_file_that_vanishes_while_it_is_looked_for_is_left_out(folder: store.Folder) -> None:
    path = write(folder, "a", table(trials()[:1]))
    gone = path.with_name("gone.parquet")
    assert set(store.scan([path, gone])) == {path}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named_set_aside_and_trained_again(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*SMALL, f"paths.results={tmp_path}", "tracking.enabled=false", "simulate=true"]
    assert run.main([*argv, "name=other"]) == 0
    folder = store.Folder(tmp_path, "other_debug")
    path = folder.record_files()[0]
    broken = DAMAGES[damage](path.read_bytes())
    path.write_bytes(broken)
    before = store.finished(tmp_path)
    assert len(before) < 6
    capsys.readouterr()
    assert run.main([*argv, "name=mine"]) == 0  # the damage lies in another's folder
    printed = capsys.readouterr().err
    assert printed.count(str(path)) == 1
    assert "trained again" in printed
    assert len(store.finished(tmp_path)) == 6
    kept = path.with_name(f"{path.name}.damaged")
    assert kept.read_bytes() == broken
    assert not path.exists()


def test_file_that_the_disk_does_not_give_is_named_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be sound: a network file system says the same when its server is slow."""
    path = write(store.Folder(tmp_path, "other"), "a", table(trials()[:1]))

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(checksum, "_digest", broken)
    argv = [*SMALL, f"paths.results={tmp_path}", "tracking.enabled=false", "simulate=true"]
    assert run.main(argv) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert error.count("\n") == 1
    assert path.exists()


def test_folder_called_like_records_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*SMALL, f"paths.results={tmp_path}", "tracking.enabled=false", "simulate=true"]
    inside = tmp_path / "quickstart_debug" / "records" / "x.parquet" / "y.parquet"
    write(store.Folder(tmp_path, "quickstart_debug"), "x.parquet/y", table(trials()[:1]))
    assert inside.is_file()
    assert run.main(argv) == 0
    assert "x.parquet: is damaged (it is a folder)" in capsys.readouterr().err
    assert len(store.finished(tmp_path)) == 6
    found = locate.locate(["quickstart_debug"], "", tmp_path)
    assert all(path.is_file() and "y" not in path.stem for path in found.record_files)


def test_second_damage_of_a_name_leaves_the_first_where_it_is(folder: store.Folder) -> None:
    for text in ("first", "second"):
        path = write(folder, "a", table(trials()[:1]))
        path.write_text(text)
        assert store.set_damaged_aside(folder) == 1
    kept = sorted(path.read_text() for path in (folder.path / "records").glob("*.damaged"))
    assert kept == ["first", "second"]


def test_dry_run_names_a_damaged_file_and_renames_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = store.Folder(tmp_path, "other")
    path = write(folder, "a", table(trials()[:1]))
    path.write_bytes(b"PAR1")
    argv = [*SMALL, f"paths.results={tmp_path}", "tracking.enabled=false", "dry_run=true"]
    assert run.main(argv) == 0
    assert str(path) in capsys.readouterr().err
    assert path.exists()


@pytest.mark.parametrize("kind", ["curves", "strong"])
def test_other_tables_are_set_aside_and_records_stay(
    kind: str, folder: store.Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    records = write(folder, "a", table(trials()[:1]))
    other = folder.path / kind / "a.parquet"
    store.write_table(other, pa.table({"x": list(range(300))}))
    other.write_bytes(flipped(other.read_bytes(), 300))
    assert store.set_damaged_aside(folder) == 1
    assert str(other) in capsys.readouterr().err
    assert not other.exists()
    assert records.exists()


@pytest.mark.parametrize("kind", ["records", "curves", "strong"])
def test_analysis_refuses_a_damaged_file_by_its_name(kind: str, folder: store.Folder) -> None:
    whole = table(trials())
    write(folder, "a", whole)
    curves = pa.Table.from_pylist(
        [dict.fromkeys(schema.CURVE_COLUMNS, None) | {"trial_id": "x"}],
        pa.schema([field.with_nullable(True) for field in store.CURVES]),
    )
    path = folder.path / kind / "b.parquet"
    store.write_table(path, curves if kind == "curves" else whole)
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
    with pytest.raises(ValueError, match=rf"{kind}/b\.parquet.*damaged") as caught:
        load(locate.locate(["small"], "", folder.root), allow_simulated=True)
    assert "\n" not in str(caught.value)
    assert "move" in str(caught.value)


def test_sync_sets_damaged_records_aside_too(
    tmp_path: Path, folder: store.Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "a", table(trials()[:1]))
    write(folder, "b", table(trials()[1:2])).write_bytes(b"PAR1")
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert main(["sync", f"results={folder.root}", f"uri={database}"]) == 0
    captured = capsys.readouterr()
    assert "small: 1 packs logged" in captured.out
    assert "b.parquet: is damaged" in captured.err
