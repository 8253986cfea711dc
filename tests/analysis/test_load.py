"""Which files are read, and which of their trials count."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.health import explained, health
from analysis.load import load
from analysis.locate import locate
from analysis.records import Records
from analysis.summary import notes
from tests.analysis.made_records import frame_of, records_of, rows_of

Row = dict[str, object]


def write_pack(results: Path, experiment: str, pack: str, *rows: list[Row]) -> None:
    folder = results / experiment / "records"
    folder.mkdir(parents=True, exist_ok=True)
    frame = frame_of(*rows).assign(experiment=experiment, pack_id=pack)
    frame.to_parquet(folder / f"{pack}.parquet", index=False)


def write_manifest(results: Path, experiment: str, *ids: str, **more: object) -> None:
    folder = results / experiment
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(
        json.dumps({"experiment": experiment, "num_trials": len(ids), "trial_ids": ids} | more)
    )


def ids_of(results: Path, *experiments: str) -> set[str]:
    return set(load(locate(experiments, "", results)).trials["trial_id"])


def test_trials_shared_with_another_experiment_are_found_there(tmp_path: Path) -> None:
    write_pack(tmp_path, "old", "p1", rows_of("a", 0.5, 0.5), rows_of("b", 0.5, 0.5))
    write_pack(tmp_path, "new", "p2", rows_of("c", 0.5, 0.5))
    write_manifest(tmp_path, "old", "a", "b")
    write_manifest(tmp_path, "new", "b", "c")
    assert ids_of(tmp_path, "old") == {"a", "b"}
    assert ids_of(tmp_path, "new") == {"b", "c"}
    assert ids_of(tmp_path, "old", "new") == {"a", "b", "c"}


def test_without_a_manifest_an_experiment_is_its_own_folder(tmp_path: Path) -> None:
    write_pack(tmp_path, "one", "p1", rows_of("a", 0.5, 0.5))
    write_pack(tmp_path, "two", "p2", rows_of("b", 0.5, 0.5))
    assert ids_of(tmp_path, "one") == {"a"}


def test_default_is_the_experiment_changed_last(tmp_path: Path) -> None:
    write_pack(tmp_path, "one", "p1", rows_of("a", 0.5, 0.5))
    write_pack(tmp_path, "two", "p2", rows_of("b", 0.5, 0.5))
    os.utime(tmp_path / "one" / "records", (1e9, 1e9))
    os.utime(tmp_path / "two" / "records", (1.5e9, 1.5e9))
    assert locate((), "", tmp_path).name == "two"
    write_manifest(tmp_path, "one", "a")
    assert locate((), "", tmp_path).name == "one"


def test_missing_trials_are_counted_with_the_command_that_adds_them(tmp_path: Path) -> None:
    failed = rows_of("b", None, None, status="failed", error="disk full")
    write_pack(tmp_path, "part", "p1", rows_of("a", 0.5, 0.5), failed)
    overrides = ["+experiment=quickstart", "name=part", "grid.dataset=[iris,wine]"]
    write_manifest(tmp_path, "part", "a", "b", "c", overrides=overrides)
    found = notes(load(locate(("part",), "", tmp_path)))
    assert found[0].startswith("2 of 3 trials have no result yet")
    command = "python sweep/run.py +experiment=quickstart name=part 'grid.dataset=[iris,wine]'"
    assert f"`{command}`" in found[0]
    assert found[1] == "1 trials failed, most often: disk full"


def test_files_still_being_written_are_not_read(tmp_path: Path) -> None:
    write_pack(tmp_path, "one", "p1", rows_of("a", 0.5, 0.5))
    (tmp_path / "one" / "records" / ".p2.parquet").write_bytes(b"half")
    (tmp_path / "one" / "records" / "p2.parquet.tmp").write_bytes(b"half")
    assert ids_of(tmp_path, "one") == {"a"}


def test_broken_file_is_named(tmp_path: Path) -> None:
    write_pack(tmp_path, "one", "p1", rows_of("a", 0.5, 0.5))
    (tmp_path / "one" / "records" / "p2.parquet").write_bytes(b"not parquet")
    with pytest.raises(ValueError, match=r"p2\.parquet cannot be read"):
        load(locate(("one",), "", tmp_path))


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"trial_ids": 3}', '{"trial_ids": [], "checksum": "sha256:0"}']
)
def test_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    write_pack(tmp_path, "one", "p1", rows_of("a", 0.5, 0.5))
    (tmp_path / "one" / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json is no manifest"):
        locate(("one",), "", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet", None])
def test_curves_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None) -> None:
    write_pack(tmp_path, "one", "p1", rows_of("a", 0.5, 0.5))
    path = tmp_path / "one" / "curves" / "p1.parquet"
    path.parent.mkdir()
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match=r"curves/p1\.parquet cannot be read.*move it"):
        load(locate(("one",), "", tmp_path))


@pytest.mark.parametrize("place", [-300, 200])
def test_damage_of_a_file_without_checksum_is_named_where_it_shows(
    tmp_path: Path, place: int
) -> None:
    write_pack(tmp_path, "one", "p1", *(rows_of(f"a{i}", 0.5, 0.1 * i) for i in range(9)))
    path = tmp_path / "one" / "records" / "p1.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + bytes(150) + whole[place:][150:])
    with pytest.raises(ValueError, match=r"p1\.parquet") as caught:
        load(locate(("one",), "", tmp_path))
    assert "\n" not in str(caught.value)


def test_trial_recorded_twice_counts_once_and_complete_wins(tmp_path: Path) -> None:
    write_pack(tmp_path, "one", "p1", rows_of("a", None, None, status="failed"))
    write_pack(tmp_path, "one", "p2", rows_of("a", 0.5, 0.6))
    write_pack(tmp_path, "one", "p3", rows_of("a", 0.5, 0.6))
    records = load(locate(("one",), "", tmp_path))
    assert records.trials["pack_id"].to_list() == ["p2"]
    assert records.test["accuracy"].to_list() == [0.6]
    assert notes(records) == ["2 repeated recordings of a trial were left out"]


def test_folder_of_artifacts_holds_records_and_curves_side_by_side(tmp_path: Path) -> None:
    write_pack(tmp_path, "run", "p1", rows_of("a", 0.5, 0.5))
    curve = {"quantity": ["loss"], "trial_id": ["a"]}
    pd.DataFrame(curve).to_parquet(tmp_path / "run" / "curves.parquet")
    source = locate((), str(tmp_path), Path())
    assert [p.name for p in source.record_files] == ["p1.parquet"]
    assert [p.name for p in source.curve_files] == ["curves.parquet"]


@pytest.mark.parametrize("radius", [0.1 + 0.2, float(np.float32(0.3))])
def test_radii_equal_to_six_digits_are_one_cell(radius: float) -> None:
    records = records_of(
        rows_of("a", 0.5, 0.5, attack_grid_radius=0.3),
        rows_of("b", 0.5, 0.5, attack_grid_radius=radius, learning_rate=1e-2),
    )
    assert records.test["cell"].n_unique() == 1
    assert records.test.height == 2


def test_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown attack_norm 'l0'; allowed: l2, l1, linf"):
        records_of(rows_of("a", 0.5, 0.5, attack="pgd-l0", attack_norm="l0"))


def test_leaky_and_clean_records_never_mix() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.5),
        rows_of("b", 0.9, 0.9, leaky=True),
        rows_of("c", 0.8, 0.8, dataset="wine", leaky=True),
    )
    assert set(records.trials["trial_id"]) == {"a"}
    assert records.test["accuracy"].to_list() == [0.5]
    assert not records.leaky
    assert records.with_label is not None
    assert set(records.with_label.trials["trial_id"]) == {"b", "c"}
    assert sorted(records.with_label.test["accuracy"]) == [0.8, 0.9]
    assert "apart" in notes(records)[0]


def test_records_that_are_all_leaky_are_marked() -> None:
    records = records_of(rows_of("a", 0.5, 0.5, leaky=True))
    assert records.leaky
    assert records.with_label is None
    assert notes(records) == ["LEAKY: the label was kept as a feature of iris"]


def numbers_of(records: Records) -> dict[str, int]:
    return dict(records.trials.select("trial_id", "trial").iter_rows())


def test_trials_are_numbered_in_tie_order() -> None:
    records = records_of(
        rows_of("d", 0.5, 0.5, grid_radius=0.1, learning_rate=1e-6),
        rows_of("c", 0.5, 0.5, grid_radius=0.01, learning_rate=1e-2),
        rows_of("b", 0.5, 0.5, grid_radius=0.01, learning_rate=1e-3),
        rows_of("a", 0.5, 0.5, grid_radius=0.01, learning_rate=1e-3),
    )
    assert numbers_of(records) == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_flags_are_counted_of_all_trials_and_explained() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.6, flags="no-gradient"),
        rows_of("b", 0.5, 0.6, flags="no-gradient my-own", learning_rate=1e-2),
        rows_of("c", 0.5, 0.6, learning_rate=1e-1),
    )
    (found,) = (line for line in notes(records) if "flag" in line)
    assert found.startswith("2 of 3 trials carry a health flag (my-own 1, no-gradient 2)")
    mine, known = explained(health(records))
    assert mine == ("my-own", 1, "unknown", "unknown")
    assert known[:2] == ("no-gradient", 2)
    assert known[2].startswith("at over a tenth of")
    assert "certificates stand" in known[3]
