"""A trial that was recorded or read more than once counts once."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from analysis.load import from_frame, load
from analysis.locate import locate
from analysis.records import Records
from analysis.select import selected
from analysis.summary import notes, ranking
from sweep.results.schema import CURVE_COLUMNS
from tests.analysis.made_records import frame_of, records_of, rows_of

Rows = list[dict[str, object]]


def some() -> list[Rows]:
    return [
        rows_of(f"{dataset}-{defense}-{rate}", 0.5 + rate, 0.6 - rate, dataset=dataset,
                defense=defense, learning_rate=rate)
        for dataset in ("iris", "wine")
        for defense in ("rub", "nominal")
        for rate in (1e-2, 1e-3)
    ]  # fmt: skip


def same(one: Records, other: Records) -> bool:
    tables = [(r.trials, r.validation, r.test, selected(r)) for r in (one, other)]
    return all(
        a.sort(pl.all()).equals(b.sort(pl.all()))
        for a, b in zip(*([t.drop("ties", strict=False) for t in x] for x in tables), strict=True)
    )


def test_copy_of_a_pack_among_artifacts_counts_once(tmp_path: Path) -> None:
    frame = frame_of(*some())
    for folder in ("small/records", "mlartifacts/1/abc/artifacts"):
        (tmp_path / folder).mkdir(parents=True)
        frame.to_parquet(tmp_path / folder / "p0.parquet", index=False)
    twice = load(locate((), str(tmp_path), tmp_path))
    shutil.rmtree(tmp_path / "mlartifacts")
    once = load(locate((), str(tmp_path), tmp_path))
    assert same(once, twice)
    assert ranking(once).equals(ranking(twice))
    (note,) = notes(twice)
    assert "read twice" in note
    assert notes(once) == []


def test_curves_of_a_copied_pack_count_once(tmp_path: Path) -> None:
    point = dict.fromkeys(CURVE_COLUMNS, "x") | {
        **dict.fromkeys(("grid_radius", "learning_rate", "value"), 1.0),
        **dict.fromkeys(("schema_version", "batch_size", "seed"), 1),
        "norm": None, "radius": None, "trial_id": "a", "pack_id": "p0",
        "quantity": "validation_accuracy",
    }  # fmt: skip
    curve = pd.DataFrame([point | {"step": step} for step in (500, 1000)])
    curve = curve.astype({"norm": "string", "radius": "float64"})
    for folder in ("small", "mlartifacts"):
        for part in ("records", "curves"):
            (tmp_path / folder / part).mkdir(parents=True)
        frame_of(rows_of("a", 0.5, 0.5)).to_parquet(tmp_path / folder / "records" / "p0.parquet")
        curve.to_parquet(tmp_path / folder / "curves" / "p0.parquet", index=False)
    records = load(locate((), str(tmp_path), tmp_path))
    assert sorted(records.curves.collect()["step"]) == [500, 1000]


def test_frame_given_twice_counts_once() -> None:
    frame = frame_of(*some())
    assert same(from_frame(frame), from_frame(pd.concat([frame, frame])))


def test_recordings_that_differ_are_named_and_the_first_pack_counts() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.5, pack_id="p2"),
        rows_of("a", 0.5, 0.9, pack_id="p1"),
        rows_of("b", 0.5, 0.5, pack_id="p1"),
        rows_of("b", 0.5, 0.5, pack_id="p2"),
    )
    counted = records.test.join(records.trials, on="trial").select("trial_id", "accuracy")
    assert dict(counted.rows()) == {"a": 0.9, "b": 0.5}
    first, second = notes(records)
    assert first == "2 repeated recordings of a trial were left out"
    assert "different numbers" in second
    assert second.endswith(": a")


def test_recordings_of_one_trial_under_other_attacks_add_up() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.5, pack_id="p1", attack="pgd-linf"),
        rows_of("a", 0.5, 0.4, pack_id="p2", attack="fgsm-linf"),
    )
    assert sorted(records.test["accuracy"]) == [0.4, 0.5]


def test_failed_recording_adds_nothing_to_a_complete_one() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.5, pack_id="p2"),
        rows_of("a", None, None, pack_id="p1", status="failed", error="disk full"),
        rows_of("a", None, None, pack_id="p1", status="failed", attack="fgsm-linf"),
    )
    assert records.test["accuracy"].to_list() == [0.5]
    assert records.trials["status"].to_list() == ["complete"]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_copies_written_in_single_precision_do_not_differ(kind: type[np.floating]) -> None:
    frame = frame_of(rows_of("a", 0.9, 0.7))
    again = frame.assign(accuracy=frame["accuracy"].astype(kind).astype("float64"))
    records = from_frame(pd.concat([frame, again]))
    assert records.test.height == 1
    assert not any("different" in note for note in notes(records))
