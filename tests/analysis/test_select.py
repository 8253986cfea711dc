"""Selection: validation only, ties by rule, diverged trials out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.records import Records
from analysis.select import choose, mean_over_repetitions, outcome, selected
from analysis.tables.cells import behind_cell, places
from analysis.tables.robust import robust_accuracy
from tests.analysis.made_records import records_of, rows_of

ARM = ("dataset", "defense", "seed", "split_seed")


def chosen_id(records: Records) -> str:
    choices = choose(records.validation, records.trials, ARM)
    assert choices.height == 1
    trial = records.trials.filter(pl.col("trial") == choices["trial"][0])
    return str(trial["trial_id"][0])


def test_choice_is_highest_validation_accuracy_whatever_the_test_says() -> None:
    records = records_of(rows_of("a", 0.8, 0.1), rows_of("b", 0.7, 0.9, learning_rate=1e-2))
    assert chosen_id(records) == "a"
    assert selected(records)["accuracy"].to_list() == [0.1]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ({"grid_radius": 0.1, "learning_rate": 1e-6}, {"grid_radius": 0.01}, "b"),
        ({"learning_rate": 1e-2}, {"learning_rate": 1e-3}, "b"),
        ({"network": "mlp-3x200"}, {"network": "mlp-1x200"}, "a"),
    ],
    ids=["smaller grid radius", "smaller learning rate", "trial id"],
)
def test_tie_goes_to(first: dict[str, object], second: dict[str, object], winner: str) -> None:
    for order in (0, 1):
        pair = [rows_of("a", 0.5, 0.5, **first), rows_of("b", 0.5, 0.5, **second)]
        assert chosen_id(records_of(*pair[:: 1 - 2 * order])) == winner


def test_diverged_and_failed_trials_are_never_chosen() -> None:
    records = records_of(
        rows_of("a", 0.9, 0.9, status="diverged"),
        rows_of("b", 0.8, 0.8, status="failed", learning_rate=1e-2),
        rows_of("c", 0.2, 0.3, learning_rate=1e-1),
        rows_of("d", None, None, status="diverged", learning_rate=1.0),
    )
    assert chosen_id(records) == "c"


def test_each_attack_and_radius_chooses_for_itself() -> None:
    records = records_of(
        rows_of("a", 0.9, 0.5),
        rows_of("b", 0.8, 0.6, learning_rate=1e-2),
        rows_of("a", 0.3, 0.2, attack_grid_radius=1.0),
        rows_of("b", 0.4, 0.1, learning_rate=1e-2, attack_grid_radius=1.0),
    )
    frame = selected(records).sort("attack_grid_radius")
    assert frame["accuracy"].to_list() == [0.5, 0.1]
    assert frame["candidates"].to_list() == [2, 2]


def test_missing_test_record_leaves_the_cell_missing() -> None:
    validation_only = rows_of("a", 0.9, 0.5)[:1]
    frame = selected(records_of(validation_only, rows_of("b", 0.8, 0.7, learning_rate=1e-2)))
    assert frame["accuracy"].to_list() == [None]


def test_seeds_choose_for_themselves_and_are_averaged() -> None:
    records = records_of(
        rows_of("a", 0.9, 0.5, seed=0),
        rows_of("b", 0.8, 0.9, seed=0, learning_rate=1e-2),
        rows_of("c", 0.1, 0.2, seed=1),
        rows_of("d", 0.3, 0.7, seed=1, learning_rate=1e-2),
    )
    mean = mean_over_repetitions(selected(records), ("dataset", "defense"))
    assert mean["accuracy"].to_list() == [0.6]
    assert mean["repetitions"].to_list() == [2]
    assert mean["deviation"][0] == pytest.approx(0.02**0.5)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_changing_every_test_value_changes_no_choice(data: st.DataObject) -> None:
    accuracy = st.integers(0, 4).map(lambda n: n / 4)
    pairs = data.draw(st.lists(st.tuples(accuracy, accuracy, accuracy), min_size=2, max_size=8))

    def build(which: int) -> Records:
        return records_of(
            *(
                rows_of(f"t{i}", p[0], p[which], learning_rate=10.0 ** -(i % 3), seed=i % 2)
                for i, p in enumerate(pairs)
            )
        )

    before, after = build(1), build(2)
    first = choose(before.validation, before.trials, ARM)
    second = choose(after.validation, after.trials, ARM)
    assert first.equals(second)
    by_trial = dict(after.test.select("trial", "accuracy").iter_rows())
    for row in outcome(second, after.test).to_dicts():
        tied = [by_trial[trial] for trial in row["ties"]]
        assert row["accuracy"] == pytest.approx(sum(tied) / len(tied))
        assert (row["tied_low"], row["tied_high"]) == (min(tied), max(tied))


def test_test_accuracy_is_the_mean_over_the_trials_that_tie() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.9, grid_radius=0.01),
        rows_of("b", 0.5, 0.6, grid_radius=0.1),
        rows_of("c", 0.5, 0.3, grid_radius=1.0),
        rows_of("d", 0.4, 1.0, grid_radius=0.001),
    )
    (row,) = selected(records).to_dicts()
    assert row["accuracy"] == pytest.approx(0.6)
    assert (row["tied"], row["tied_low"], row["tied_high"]) == (3, 0.3, 0.9)
    assert row["candidates"] == 4
    first = records.trials.filter(pl.col("trial") == row["trial"])["trial_id"].to_list()
    assert first == ["a"]


def test_renaming_trials_that_tie_changes_no_accuracy() -> None:
    def reported(*ids: str) -> list[float]:
        tests = (0.2, 0.5, 0.95)
        return selected(
            records_of(*(rows_of(i, 0.5, t) for i, t in zip(ids, tests, strict=True)))
        )["accuracy"].to_list()

    assert reported("a", "b", "c") == reported("c", "a", "b") == reported("b", "c", "a")


def test_validation_accuracies_in_single_precision_still_tie() -> None:
    single = float(np.float32(0.9))
    assert single != 0.9
    (row,) = selected(records_of(rows_of("a", 0.9, 0.4), rows_of("b", single, 0.6))).to_dicts()
    assert (row["tied"], row["accuracy"]) == (2, 0.5)


def test_tied_trial_without_test_record_is_not_counted_as_zero() -> None:
    (row,) = selected(records_of(rows_of("a", 0.9, 0.4)[:1], rows_of("b", 0.9, 0.6))).to_dicts()
    assert row["accuracy"] == 0.6


def seeds(defense: str, **tests: float) -> list[list[dict[str, object]]]:
    return [
        rows_of(f"{defense}-{seed}", 0.5, test, defense=defense, seed=int(seed[1:]))
        for seed, test in tests.items()
    ]


def means(*rows: list[list[dict[str, object]]]) -> dict[str, tuple[float, int]]:
    frame = mean_over_repetitions(
        selected(records_of(*(pair for part in rows for pair in part))), ("dataset", "defense")
    )
    return {row["defense"]: (row["accuracy"], row["repetitions"]) for row in frame.to_dicts()}


def test_defenses_are_averaged_over_the_seeds_that_all_have() -> None:
    # On the seed that both have, PGD is ahead; RUB's second seed was an easy one.
    found = means(seeds("rub", s0=0.5, s1=1.0), seeds("pgd-linf", s0=0.6))
    assert found == {"rub": (0.5, 1), "pgd-linf": (0.6, 1)}


def test_defense_that_shares_no_seed_is_not_compared() -> None:
    found = means(
        seeds("rub", s0=0.5, s1=0.7), seeds("pgd-linf", s0=0.6, s1=0.6), seeds("nominal", s7=1.0)
    )
    assert found == {"rub": (0.6, 2), "pgd-linf": (0.6, 2)}


def test_seeds_that_go_round_leave_the_first_that_most_share() -> None:
    found = means(
        seeds("rub", s0=0.5, s1=0.7),
        seeds("pgd-linf", s1=0.6, s2=0.8),
        seeds("nominal", s2=1, s0=0),
    )
    assert found == {"rub": (0.5, 1), "nominal": (0.0, 1)}


def test_printed_cell_names_the_first_of_those_that_tie() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.9, grid_radius=0.01), rows_of("b", 0.5, 0.6, grid_radius=0.1)
    )
    frame = robust_accuracy(records, ["iris"])
    assert frame[["percent", "tied", "tied_low", "tied_high"]].to_numpy().tolist() == [
        [75.0, 2, 0.6, 0.9]
    ]
    (place,) = places(frame)
    assert "first of 2 tied (60.0–90.0); ρ 0.01" in behind_cell(place).text
