"""Records of clean and of leaky data, side by side in one table and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.artifact import tables
from analysis.build import build, write_table
from analysis.records import Records
from analysis.tables import leak
from tests.analysis.made_records import records_of, rows_of

LEAKY = {"leaky": True, "dataset_hash": "with-label", "num_features": 5}


def both() -> Records:
    return records_of(
        rows_of("a", 0.6, 0.50, attack_grid_radius=0.0),
        rows_of("b", 0.5, 0.90, attack_grid_radius=0.0, learning_rate=1e-2),
        rows_of("c", 0.7, 0.95, attack_grid_radius=0.0, **LEAKY),
        rows_of("d", 0.8, 1.00, attack_grid_radius=0.0, learning_rate=1e-2, **LEAKY),
        rows_of("e", 0.8, 0.80, attack_grid_radius=0.0, dataset="wine"),
        rows_of("f", 0.8, 0.80, attack_grid_radius=0.0, dataset="glass", **LEAKY),
        rows_of("c", 0.7, 0.95, attack_grid_radius=3.0, **LEAKY),
    )


def test_table_pairs_what_both_sweeps_ran_and_each_selects_for_itself() -> None:
    frame = leak.build(both())
    assert len(frame) == 1
    row = frame.iloc[0]
    assert (row["dataset"], row["attack_grid_radius"]) == ("iris", 0.0)
    assert (row["percent"], row["leaky_percent"], row["difference"]) == (50.0, 100.0, 50.0)
    assert (row["trial_id"], row["leaky_trial_id"]) == ("a", "d")
    assert (row["candidates"], row["leaky_candidates"]) == (2, 2)


def test_balls_of_the_two_sides_are_matched_by_grid_radius() -> None:
    records = records_of(
        rows_of("a", 0.6, 0.50, attack="pgd-l1", attack_grid_radius=0.3),
        rows_of("b", 0.6, 0.75, attack="pgd-l1", attack_grid_radius=0.3, **LEAKY),
    )
    row = leak.build(records).iloc[0]
    assert row["attack_radius"] == 0.3 * 2
    assert row["leaky_attack_radius"] == 0.3 * 5**0.5
    summary, block = leak.layout(leak.build(records))
    assert block.columns == ("0.3",)
    assert block.rows[0].cells[0].text == "50.0 → 75.0"
    assert [cell.text for cell in summary.rows[0].cells] == ["1", "50.00", "75.00", "+25.00"]


def test_no_other_table_sees_leaky_rows(tmp_path: Path) -> None:
    alone = records_of(
        rows_of("a", 0.6, 0.50, attack_grid_radius=0.0),
        rows_of("b", 0.5, 0.90, attack_grid_radius=0.0, learning_rate=1e-2),
        rows_of("e", 0.8, 0.80, attack_grid_radius=0.0, dataset="wine"),
    )
    others = [table for name, table in tables().items() if name != "leak"]
    for records, folder in ((both(), "mixed"), (alone, "alone")):
        build(others, [], records, tmp_path / folder)
    written = {path.name: path.read_text() for path in (tmp_path / "alone").glob("*.csv")}
    assert "accuracy.csv" in written
    for name, text in written.items():
        assert (tmp_path / "mixed" / name).read_text() == text
    assert leak.build(alone).empty


def test_tables_of_leaky_records_alone_are_marked(tmp_path: Path) -> None:
    write_table(tables()["accuracy"], records_of(rows_of("a", 0.5, 0.5, leaky=True)), tmp_path)
    assert pd.read_csv(tmp_path / "accuracy.csv")["leaky"].all()
    for form in ("md", "tex"):
        assert "LEAKY (the label is a feature). Adv" in (tmp_path / f"accuracy.{form}").read_text()
    write_table(tables()["accuracy"], records_of(rows_of("a", 0.5, 0.5)), tmp_path)
    assert "leaky" not in pd.read_csv(tmp_path / "accuracy.csv").columns


def test_sides_are_compared_on_the_seeds_and_steps_that_both_have() -> None:
    records = records_of(
        rows_of("a", 0.6, 0.50, attack_grid_radius=0.0, seed=0),
        rows_of("b", 0.6, 0.10, attack_grid_radius=0.0, seed=1),
        rows_of("c", 0.6, 0.75, attack_grid_radius=0.0, seed=0, **LEAKY),
        rows_of("d", 0.6, 0.50, attack_grid_radius=0.0, dataset="wine"),
        rows_of("e", 0.6, 0.75, attack_grid_radius=0.0, dataset="wine", steps=500, **LEAKY),
    )
    (row,) = leak.build(records).to_dict("records")
    assert (row["dataset"], row["percent"], row["leaky_percent"]) == ("iris", 50.0, 75.0)
