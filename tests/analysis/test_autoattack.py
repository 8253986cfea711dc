"""AutoAttack's rows: found, looked up for the chosen networks, marked, or missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analysis.load import load
from analysis.locate import locate
from analysis.records import Records
from analysis.summary import notes
from analysis.tables import strong
from tests.analysis.made_records import frame_of, records_of, rows_of

Rows = list[dict[str, object]]


def under(attack: str, trial_id: str, test: float, **values: object) -> Rows:
    """One trial's test record under a strong attack: it has none on validation."""
    return rows_of(trial_id, None, test, attack=attack, **values)[1:]


def l1(trial_id: str, pgd: float, certified: float, **values: object) -> list[Rows]:
    return [
        rows_of(trial_id, pgd, pgd, attack="pgd-l1", **values),
        rows_of(trial_id, pgd, pgd + 0.01, attack="fgm-l1", **values),
        rows_of(trial_id, certified, certified, attack="certified-l1", **values),
    ]


def rows(frame: pd.DataFrame) -> dict[str, pd.Series]:
    return {str(row["defense"]): row for _, row in frame.iterrows()}


def test_strong_accuracy_stands_beside_the_chosen_networks_own() -> None:
    records = records_of(
        *l1("a", 0.80, 0.40, defense="rub"),
        *l1("b", 0.70, 0.60, defense="rub", learning_rate=1e-2),
        under("autoattack-l1", "a", 0.75, defense="rub"),
        under("autoattack-l1", "b", 0.10, defense="rub", learning_rate=1e-2),
    )
    (row,) = rows(strong.build(records)).values()
    assert (row["paper_percent"], row["strong_percent"]) == (80.0, 75.0)
    assert row["certified_percent"] == 40.0
    assert (row["missing"], row["picked"]) == (0, 1)
    assert not row["certified_above"]
    assert not row["masked"]


@pytest.mark.parametrize(
    ("attacked", "samples", "above", "masked"),
    [
        (0.50, 100, False, False),  # certified exactly as much
        (0.49, 100, True, False),
        (0.44, 100, True, False),  # five points under the paper's attacks are within
        (0.43, 100, True, True),
        (0.43, 50, False, False),  # fifty other samples may well differ by that much
        (0.00, 50, True, True),
    ],
)
def test_marks(attacked: float, samples: int, above: bool, masked: bool) -> None:
    records = records_of(
        *l1("a", 0.49, 0.50), under("autoattack-l1", "a", attacked, num_samples=samples)
    )
    (row,) = rows(strong.build(records)).values()
    assert (row["certified_above"], row["masked"]) == (above, masked)


def test_networks_not_attacked_are_missing_with_the_command(tmp_path: Path) -> None:
    sweep = frame_of(*l1("a", 0.8, 0.4), *l1("b", 0.8, 0.4, defense="rub"))
    later = frame_of(under("autoattack-l1", "a", 0.7))
    for part, frame in (("records", sweep), ("strong", later)):
        folder = tmp_path / "small" / part
        folder.mkdir(parents=True)
        frame.to_parquet(folder / "p0.parquet", index=False)
    for source in (
        locate(("small",), "", tmp_path),
        locate((), str(tmp_path / "small"), tmp_path),
    ):
        records = load(source)
        found = rows(strong.build(records))
        assert found["nominal"]["strong_percent"] == 70.0
        assert pd.isna(found["rub"]["strong_percent"])
        assert found["rub"]["missing"] == 1
        texts = [cell.text for cell in strong.layout(strong.build(records))[0].rows[0].cells]
        assert texts == ["80.00", "missing", "40.00"]
        (note,) = notes(records)
        assert note.startswith("1 of 2 picked networks have no result under AutoAttack")
        assert "python sweep/strong.py +experiment=... name=small" in note


def test_strong_rows_change_no_other_result() -> None:
    def build(*more: Rows) -> Records:
        return records_of(*l1("a", 0.8, 0.4), *l1("b", 0.7, 0.5, learning_rate=1e-2), *more)

    before, after = build(), build(under("autoattack-l1", "a", 0.0))
    assert strong.build(before).empty
    assert before.trials.equals(after.trials)
    assert before.validation.drop("cell").equals(
        after.validation.drop_nulls("accuracy").drop("cell")
    )


def test_strong_rows_of_unknown_trials_are_left_out(tmp_path: Path) -> None:
    frames = {"records": l1("a", 0.8, 0.4), "strong": [under("autoattack-l1", "gone", 0.7)]}
    for part, made in frames.items():
        folder = tmp_path / "small" / part
        folder.mkdir(parents=True)
        frame_of(*made).to_parquet(folder / "p0.parquet", index=False)
    records = load(locate(("small",), "", tmp_path))
    assert records.trials["trial_id"].to_list() == ["a"]
    assert records.test.height == 3
    assert strong.build(records).empty
