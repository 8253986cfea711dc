"""Dense ranks, their means, and the data sets they are taken over."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.ranks import attacked_accuracies, mean_ranks
from analysis.stats import dense_ranks, mean_interval
from analysis.summary import notes, ranking, text
from tests.analysis.made_records import frame_of, records_of, rows_of


def test_dense_ranks_share_ties_and_leave_no_gap() -> None:
    ranks = dense_ranks(np.array([[0.9, 0.7, 0.9, 0.1]]))
    assert ranks.tolist() == [[1, 2, 1, 3]]


def test_mean_interval_is_students() -> None:
    # t(0.975, 3) = 3.182446 from a printed table; deviation of 1..4 is sqrt(5/3).
    mean, low, high = mean_interval(np.array([[1.0], [2.0], [3.0], [4.0]]))
    assert mean[0] == 2.5
    assert high[0] - 2.5 == pytest.approx(3.182446 * (5 / 3) ** 0.5 / 2, rel=1e-6)
    assert low[0] == pytest.approx(5 - high[0])


def three_defenses(dataset: str, *tests: float | None) -> list[list[dict[str, object]]]:
    names = ("rub", "pgd-linf", "nominal")
    return [
        rows_of(f"{dataset}-{name}", 0.5, test, dataset=dataset, defense=name)
        for name, test in zip(names, tests, strict=True)
        if test is not None
    ]


def test_mean_rank_uses_only_data_sets_where_every_defense_has_a_result() -> None:
    records = records_of(
        *three_defenses("iris", 0.9, 0.8, 0.7),
        *three_defenses("wine", 0.5, 0.9, 0.5),
        *three_defenses("glass", 0.1, 0.9, None),
    )
    frame = mean_ranks(attacked_accuracies(records, records.datasets)).set_index("defense")
    assert frame["mean_rank"].to_dict() == {"rub": 1.5, "pgd-linf": 1.5, "nominal": 2.5}
    assert set(frame["datasets"]) == {2}
    assert frame["present"].to_dict() == {"rub": 3, "pgd-linf": 3, "nominal": 2}


def test_ranking_orders_by_mean_rank_over_pgd_alone() -> None:
    frame = frame_of(
        *three_defenses("iris", 0.9, 0.8, 0.7),
        *three_defenses("wine", 0.6, 0.9, 0.5),
        rows_of("iris-nominal", 0.5, 1.0, attack="fgsm-linf"),
        rows_of("iris-nominal", 0.5, 1.0, attack="certified-l1"),
    )
    table = ranking(frame)
    assert table["defense"].tolist() == ["pgd-linf", "rub", "nominal"]
    assert table["mean_rank"].tolist() == [1.5, 1.5, 3.0]
    assert "PGD-L∞" in text(table)


def test_ranking_without_common_data_sets_says_so() -> None:
    table = ranking(frame_of(rows_of("a", 0.5, 0.5, attack="fgm-l2")))
    assert text(table).startswith("no ranking")


def test_data_sets_left_out_of_the_ranks_are_named() -> None:
    records = records_of(
        *three_defenses("iris", 0.9, 0.8, 0.7),
        *three_defenses("glass", 0.1, 0.9, None),
    )
    (note,) = notes(records)
    assert note.startswith("ranks stand on as few as 1 of 2 data sets")
    assert note.endswith("there are results of Nominal on 1")
    assert notes(records_of(*three_defenses("iris", 0.9, 0.8, 0.7))) == []
