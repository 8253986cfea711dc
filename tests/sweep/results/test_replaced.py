from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from robust import networks
from sweep.results import replaced, store, weights
from sweep.results.replaced import Unwanted
from sweep.upkeep import check, migrate
from tests.sweep.upkeep.test_migrate import BEFORE


@pytest.fixture
def folder(tmp_path: Path) -> store.Folder:
    """Records, curves and strong attacks of an experiment, and weights of one of its packs."""
    shutil.copytree(BEFORE / "real", tmp_path / "real")
    list(migrate.migrate(tmp_path))
    whole = store.Folder(tmp_path, "real")
    trials = trials_of(whole.record_files()[0])
    weights.write(whole, "a" * 16, networks.build("mlp-1x8", 4, 3, len(trials), seed=0), trials)
    return whole


def trials_of(path: Path) -> list[str]:
    return sorted(set(pl.read_parquet(path)["trial_id"]))


def rows_of(folder: store.Folder, kind: str = "records") -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in folder.tables(kind)])


def test_trials_leave_every_table_and_the_weights(folder: store.Folder) -> None:
    one, *others = trials_of(folder.record_files()[0])
    before = {kind: rows_of(folder, kind) for kind in ("records", "curves")}
    assert replaced.set_aside(folder, Unwanted(frozenset([one]))) == 3
    for kind, rows in before.items():
        left = rows_of(folder, kind)
        assert left.sort(left.columns).equals(
            rows.filter(pl.col("trial_id") != one).sort(rows.columns)
        )
    assert sorted(weights.find(folder.root)) == others
    told = check.check(folder.root).findings
    assert len(told) == 1
    assert "1 of 16 trials" in told[0]


def test_what_is_set_aside_is_kept_as_it_was(folder: store.Folder) -> None:
    path = folder.record_files()[0]
    before = path.read_bytes()
    replaced.set_aside(folder, Unwanted(frozenset(trials_of(path))))
    assert not path.exists()
    (copy,) = (folder.path / "replaced").glob(f"*/records/{path.name}")
    assert copy.read_bytes() == before
    (kept,) = (folder.path / "replaced").glob("*/networks/*")
    assert weights.trials_of(kept)
    assert not weights.files_of(folder)


def test_strong_attacks_go_with_their_network(folder: store.Folder) -> None:
    (path,) = folder.tables("strong")
    replaced.set_aside(folder, Unwanted(frozenset(trials_of(path))))
    assert not folder.tables("strong")


def test_rows_under_an_attack_leave_and_networks_stay(folder: store.Folder) -> None:
    path = folder.record_files()[0]
    before = pl.read_parquet(path)
    one = trials_of(path)[0]
    assert replaced.set_aside(folder, Unwanted(rows={"pgd-linf": frozenset([one])})) == 1
    gone = (pl.col("attack") == "pgd-linf") & (pl.col("trial_id") == one)
    assert pl.read_parquet(path).equals(before.filter(~gone))
    assert sorted(weights.find(folder.root)) == trials_of(path)


def test_nothing_unwanted_changes_nothing(folder: store.Folder) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()}
    assert replaced.set_aside(folder, Unwanted(frozenset(["0" * 16]))) == 0
    after = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()}
    assert after == before


def test_weights_go_before_records(folder: store.Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    # A trial without records is trained again, and must not find what it had before.
    def die(path: Path, table: object) -> None:
        raise KeyboardInterrupt

    one, *others = trials_of(folder.record_files()[0])
    monkeypatch.setattr(store, "write_table", die)
    with pytest.raises(KeyboardInterrupt):
        replaced.set_aside(folder, Unwanted(frozenset([one])))
    assert sorted(weights.find(folder.root)) == others
    assert one in set(rows_of(folder)["trial_id"])


def test_file_stays_as_old_as_it_was_so_that_the_newer_record_is_still_the_newer(
    folder: store.Folder,
) -> None:
    path = folder.record_files()[0]
    before = path.stat().st_mtime_ns
    replaced.set_aside(folder, Unwanted(frozenset(trials_of(path)[:1])))
    assert 0 <= path.stat().st_mtime_ns - before < 1_000_000
