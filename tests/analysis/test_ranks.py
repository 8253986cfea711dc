"""Dense ranks, their means, and the data sets they are taken over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from analysis.artifact import figures
from analysis.figure_files import draw_figure
from analysis.ranks import attacked_accuracies, mean_ranks, rank_interval, rank_tests
from analysis.statistics import dense_ranks, mean_interval
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


def test_ranking_orders_by_mean_rank_and_knows_no_certificate() -> None:
    frame = frame_of(
        *three_defenses("iris", 0.9, 0.8, 0.7),
        *three_defenses("wine", 0.6, 0.9, 0.5),
        rows_of("iris-nominal", 0.5, 1.0, attack="certified-l1"),
        rows_of("iris-nominal", 0.5, 1.0, attack="certified-linf"),
    )
    table = ranking(frame)
    # Of equal mean ranks the higher mean accuracy is first: 0.85 and 0.75.
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


SETS = [f"set-{i}" for i in range(10)]


def lost(dataset: str, defense: str, status: str = "diverged") -> list[dict[str, object]]:
    return rows_of(
        f"{dataset}-{defense}", None, None, dataset=dataset, defense=defense, status=status
    )


def diverging() -> list[list[dict[str, object]]]:
    """RUB is best on four sets and has no finished network on the six others."""
    made = []
    for i, dataset in enumerate(SETS):
        if i < 4:
            made += three_defenses(dataset, 0.9, 0.8, 0.7)
        else:
            made += three_defenses(dataset, None, 0.8, 0.7)
            made.append(lost(dataset, "rub", "failed" if i == 4 else "diverged"))
    return made


def test_defense_without_a_finished_network_ranks_last_there() -> None:
    records = records_of(*diverging())
    frame = mean_ranks(attacked_accuracies(records, records.datasets)).set_index("defense")
    assert frame["mean_rank"].to_dict() == {
        "rub": pytest.approx((4 * 1 + 6 * 3) / 10),
        "pgd-linf": pytest.approx((4 * 2 + 6 * 1) / 10),
        "nominal": pytest.approx((4 * 3 + 6 * 2) / 10),
    }
    assert set(frame["datasets"]) == {10}
    assert frame["unfinished"].to_dict() == {"rub": 6, "pgd-linf": 0, "nominal": 0}
    table = ranking(records)
    assert table["defense"].tolist()[0] == "pgd-linf"
    assert table.set_index("defense")["unfinished"].to_dict()["rub"] == 6
    assert "last where no network finished: RUB (on 6 of 10)" in text(table)
    assert any("rank" in note and "RUB on 6" in note for note in notes(records))
    # Friedman's test sees the same order.
    (test,) = rank_tests(records)
    assert test.friedman.mean_ranks[list(test.defenses).index("rub")] == pytest.approx(2.2)


def test_defenses_that_both_finish_nothing_tie_for_last() -> None:
    rows = [
        *three_defenses("iris", 0.9, None, None),
        lost("iris", "pgd-linf"),
        lost("iris", "nominal"),
    ]
    records = records_of(*rows, *three_defenses("wine", 0.9, 0.8, 0.7))
    frame = mean_ranks(attacked_accuracies(records, records.datasets)).set_index("defense")
    assert frame["mean_rank"].to_dict() == {"rub": 1.0, "pgd-linf": 2.0, "nominal": 2.5}


def test_one_more_defense_on_one_set_changes_no_rank() -> None:
    rows = [pair for dataset in SETS for pair in three_defenses(dataset, 0.9, 0.8, 0.7)]
    extra = rows_of("extra", 0.9, 0.99, dataset=SETS[0], defense="my-own-defense")
    before, after = records_of(*rows), records_of(*rows, extra)
    columns = ["defense", "mean_rank", "ci_low", "ci_high", "datasets"]
    one, two = (mean_ranks(attacked_accuracies(r, r.datasets)) for r in (before, after))
    assert one[columns].equals(two[columns])
    assert set(one["datasets"]) == {10}
    table = ranking(after)
    assert table[table["mean_rank"].notna()]["defense"].tolist() == ["rub", "pgd-linf", "nominal"]
    assert "my-own-defense (on 1 of 10)" in text(table)
    assert any("my-own-defense (1 of 10)" in note for note in notes(after))


def test_defense_on_half_of_the_sets_is_ranked_on_those() -> None:
    rows = [pair for dataset in SETS for pair in three_defenses(dataset, 0.9, 0.8, 0.7)]
    half = [rows_of(f"x-{d}", 0.9, 0.99, dataset=d, defense="my-own") for d in SETS[:5]]
    records = records_of(*rows, *half)
    frame = mean_ranks(attacked_accuracies(records, records.datasets)).set_index("defense")
    assert frame.loc["my-own", "mean_rank"] == 1
    assert set(frame["datasets"]) == {5}
    assert set(frame["total"]) == {10}
    assert "5/10" in text(ranking(records))


def test_interval_of_equal_ranks_is_clopper_and_pearsons() -> None:
    # Ten data sets without another rank: the share of such is below 0.3085 (printed tables).
    mean, low, high = rank_interval(np.tile([1.0, 3.0], (10, 1)))
    assert mean.tolist() == [1.0, 3.0]
    assert low == pytest.approx([1.0, 3 - 0.3085 * 2], abs=1e-3)
    assert high[0] == pytest.approx(1 + 0.3085 * 1, abs=1e-3)
    assert np.isnan(rank_interval(np.ones((1, 3)))[1]).all()


def test_one_lucky_seed_of_many_earns_no_rank() -> None:
    def seeded(defense: str, test: float, finished: int) -> list[list[dict[str, object]]]:
        return [
            rows_of(
                f"{dataset}-{defense}-{seed}",
                *((0.5, test) if seed < finished else (None, None)),
                dataset=dataset, defense=defense, seed=seed,
                status="complete" if seed < finished else "diverged",
            )
            for dataset in SETS
            for seed in range(4)
        ]  # fmt: skip

    others = [*seeded("pgd-linf", 0.8, 4), *seeded("nominal", 0.7, 4)]
    for finished, first, times in ((1, "pgd-linf", 4), (2, "rub", 2), (4, "rub", 4)):
        table = ranking(records_of(*others, *seeded("rub", 0.9, finished)))
        assert table["defense"][0] == first
        assert set(table["repetitions"]) == {times}
        assert table.set_index("defense")["unfinished"]["rub"] == (10 if finished == 1 else 0)


def test_attack_of_the_users_own_has_ranks_and_a_picture(tmp_path: Path) -> None:
    rows = [
        rows_of(f"{i}-{d}", 0.5, test, dataset=f"s{i}", defense=d, attack="mine-linf")
        for i in range(3)
        for d, test in (("rub", 0.6), ("own-defense", 0.7))
    ]
    figure = figures()["attacks"]
    frame = figure.build(records_of(*rows))
    assert frame.set_index("defense")["mean_rank"].to_dict() == {"rub": 2.0, "own-defense": 1.0}
    (panel, unused) = figure.draw(frame).axes  # type: ignore[union-attr]
    assert "mine" in panel.get_title()
    assert not unused.get_visible()
    draw_figure("attacks", frame, tmp_path)
    assert (tmp_path / "attacks.png").is_file()


def test_figure2_has_no_column_for_attacks_that_were_not_run() -> None:
    rows = [
        rows_of(f"{name}-{i}", 0.5, 0.5, dataset=f"s{i}", defense=name, attack="pgd-linf")
        for name in ("rub", "nominal")
        for i in range(2)
    ]
    figure = figures()["figure2"]
    drawn = figure.draw(figure.build(records_of(*rows)))
    assert isinstance(drawn, Canvas)
    shown = [axes.get_title() for axes in drawn.axes if axes.get_visible()]
    assert [title[:3] for title in shown] == ["(a)"]
    box = drawn.axes[0].get_position()
    assert box.x0 < 0.3  # it begins at the left
