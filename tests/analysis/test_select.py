"""Selection: validation only, ties by rule, diverged trials out."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.records import Records
from analysis.select import choose, mean_over_repetitions, outcome, selected
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
