"""The tables of tests between defenses: which p is printed, and that none takes long."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from analysis.artifact import figures, tables
from analysis.figures import differences
from analysis.load import load
from analysis.locate import locate
from analysis.posthoc import friedman
from analysis.records import Records
from analysis.tables import friedman as table
from analysis.tables import posthoc
from tests.analysis.made_records import records_of, rows_of
from tests.analysis.simulated import simulate

DEFENSES = ("rub", "arub-l1", "pgd-linf", "nominal")


def records_with(scores: np.ndarray) -> Records:
    """Return records of test accuracies (data sets, defenses) under one attack; NaN is none."""
    pairs = [
        rows_of(f"{i}-{name}", 0.5, float(score), dataset=f"set-{i:02d}", defense=name)
        for i, row in enumerate(scores)
        for name, score in zip(DEFENSES, row, strict=True)
        if not np.isnan(score)
    ]
    return records_of(*pairs)


def scores_of(n: int) -> np.ndarray:
    """Return accuracies of small test sets: with zeros and ties."""
    rng = np.random.default_rng(n)
    return rng.binomial(20, [0.75, 0.7, 0.65, 0.6], size=(n, len(DEFENSES))) / 20


def printed(frame: pd.DataFrame) -> str:
    (block,) = table.layout(frame)
    return block.rows[0].cells[0].text


def test_whole_results_print_iman_davenports_p() -> None:
    scores = scores_of(12)
    frame = table.build(records_with(scores))
    (row,) = frame.to_dict("records")
    test = friedman(scores)
    assert test is not None
    assert (row["p"], row["iman_davenport_p"]) == (test.p, test.corrected_p)
    assert np.isnan(row["skillings_mack_p"])
    assert printed(frame) == table.p_cell(test.corrected_p).text


def test_missing_results_print_skillings_macks_p_of_all_data_sets() -> None:
    scores = scores_of(12)
    scores[:4, 2] = np.nan
    frame = table.build(records_with(scores))
    (row,) = frame.to_dict("records")
    wider, common = friedman(scores), friedman(scores[4:])
    assert wider is not None
    assert common is not None
    assert (row["datasets"], row["datasets_compared"]) == (8, 12)
    assert (row["skillings_mack_p"], row["p"]) == (wider.p, common.p)
    assert printed(frame) == table.p_cell(wider.p).text + "‡"


def test_cell_without_any_common_data_set_is_tested_all_the_same() -> None:
    scores = scores_of(8)
    scores[np.arange(8), np.arange(8) % 4] = np.nan
    frame = table.build(records_with(scores))
    (row,) = frame.to_dict("records")
    assert (row["datasets"], row["datasets_compared"], row["defenses"]) == (0, 8, 4)
    assert 0 < row["skillings_mack_p"] <= 1
    assert np.isnan([row["p"], row["critical_difference"]]).all()
    assert printed(frame).endswith("‡")


def test_two_defenses_allow_no_test() -> None:
    scores = scores_of(8)
    scores[:, 2:] = np.nan
    assert table.build(records_with(scores)).empty


def refuse(*_: object, **__: Mapping[str, object]) -> None:
    raise AssertionError("scipy's slow path")


@pytest.mark.parametrize("n", [4, 12, 46])
def test_posthoc_enumerates_no_sign_flips(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("permutation_test", "wilcoxon", "friedmanchisquare"):
        monkeypatch.setattr(scipy.stats, name, refuse)
    frame = posthoc.build(records_with(scores_of(n)))
    assert len(frame) == 6
    assert frame["nemenyi_p"].between(0, 1).all()
    assert frame["holm_p"].isna().all() if n < 6 else frame["holm_p"].between(0, 1).all()
    assert (frame["holm_p"].dropna() >= frame["wilcoxon_p"].dropna()).all()


@pytest.mark.slow
def test_everything_of_twelve_data_sets_enumerates_no_sign_flips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulate(tmp_path, "+experiment=uci_small")
    for name in ("permutation_test", "wilcoxon", "friedmanchisquare"):
        monkeypatch.setattr(scipy.stats, name, refuse)
    records = load(locate((), "", tmp_path), allow_simulated=True)
    assert records.trials.height == 936
    for name, artifact in (tables() | figures()).items():
        frame = artifact.build(records)
        if name == "posthoc":
            assert set(frame["datasets"]) == {12}
            assert len(frame) == 3 * 10 * 15
            assert frame["wilcoxon_p"].between(0, 1).all()


@pytest.mark.parametrize("n", [2, 4, 12, 46])
def test_defenses_that_score_alike_do_not_differ(n: int) -> None:
    scores = np.full((n, len(DEFENSES)), 0.5)
    (row,) = table.build(records_with(scores)).to_dict("records")
    assert (row["statistic"], row["p"], row["iman_davenport_p"]) == (0, 1, 1)
    pairs = posthoc.build(records_with(scores))
    assert (pairs["nemenyi_p"] == 1).all()
    assert (pairs["wilcoxon_p"].dropna() == 1).all()


def test_pairs_of_a_radius_with_few_data_sets_print_nemenyis_p_among_holms() -> None:
    scores = scores_of(8)
    pairs = [
        rows_of(f"{i}-{name}", 0.5, float(score), dataset=f"set-{i}", defense=name, **place)
        for i, row in enumerate(scores)
        for name, score in zip(DEFENSES, row, strict=True)
        for place in ({"attack_grid_radius": 0.1}, {"attack_grid_radius": 1.0})
        if i < 4 or place["attack_grid_radius"] == 0.1
    ]
    frame = posthoc.build(records_of(*pairs))
    (block,) = posthoc.layout(frame)
    near, far = block.rows[0].cells
    few = frame[frame["datasets"] == 4]
    assert near == table.p_cell(frame["holm_p"].iloc[0])
    assert far.text == table.p_cell(few["nemenyi_p"].iloc[0]).text + "‡"


def test_few_data_sets_everywhere_print_nemenyis_p_without_marks() -> None:
    (block,) = posthoc.layout(posthoc.build(records_with(scores_of(4))))
    assert block.title.endswith("(Nemenyi)")
    assert not any("‡" in cell.text for row in block.rows for cell in row.cells)


def test_attacks_that_were_not_run_have_no_diagram() -> None:
    frame = differences.build(records_with(scores_of(8)))  # under one of the three attacks
    (panel,) = differences.draw(frame).axes
    assert "PGD" in panel.get_title()
    assert "no records" not in [text.get_text() for text in panel.texts]
