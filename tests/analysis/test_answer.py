"""The table that opens the report, its sentence, and certificates beside attacks."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pandas as pd
import pytest

from analysis import answer, bands, certificates
from analysis.artifact import tables
from analysis.health import suffering
from analysis.names import label
from analysis.records import Records
from tests.analysis.made_records import records_of, rows_of
from tests.analysis.test_bands import DEFENSES, law, sweep

Rows = list[dict[str, object]]
LEADS = {"rub": 0.5, "nominal": 0.2}


def proofs(sets: int, **accuracies: dict[str, float]) -> list[Rows]:
    """Return certified accuracies per certificate and defense, on validation as on test."""
    return [
        rows_of(
            f"{i}-{d}", value, value, dataset=f"set-{i}", defense=d, attack=name.replace("_", "-")
        )
        for i in range(sets)
        for name, values in accuracies.items()
        for d, value in values.items()
    ]


def frame_of_bands(records: Records) -> pd.DataFrame:
    return tables()["answer"].build(records)


def test_each_measure_has_a_block_of_its_own_with_its_winners() -> None:
    certified = {"rub": 0.6, "pgd-linf": 0.3, "nominal": 0.1}
    best = {"rub": 0.61, "pgd-linf": 0.7, "nominal": 0.1}
    rows = sweep(7) + proofs(7, certified_l1=certified, certified_l1_best=best)
    records = records_of(*rows)
    blocks = tables()["answer"].layout(frame_of_bands(records))
    titles = [f"{bands.MEASURES[m].title} (7 data sets)" for m in bands.MEASURES]
    assert [b.title for b in blocks] == titles
    winners = [{row.label[:9]: row.cells[0].text for row in b.rows} for b in blocks]
    assert winners[0]["L1 medium"] == "PGD-L∞"
    assert winners[1] == {"L1 medium": "RUB"}
    assert winners[2] == {"L1 medium": "PGD-L∞"}


def test_best_proof_of_paper_alone_is_not_told_twice() -> None:
    records = records_of(*proofs(2, certified_l1=LEADS))
    assert "certified" in bands.measures(records)
    assert "proven" not in bands.measures(records)


@pytest.mark.parametrize("name", ["certified-linf", "certified-l2", "certified-l1-my-own"])
def test_any_certificate_of_the_records_counts_as_a_proof(name: str) -> None:
    records = records_of(*proofs(3, **{name: LEADS}))
    frame = bands.ranking(records, "proven")
    assert frame["defense"].tolist() == ["rub", "nominal"]
    assert certificates.recorded(records) == [name]
    assert certificates.proof_title(name, name.split("-")[1])


def test_proof_is_chosen_on_validation_and_shown_on_test() -> None:
    rows = [
        rows_of("a", 0.9, 0.1, attack="certified-l1", defense="rub"),
        rows_of("a", 0.4, 0.8, attack="certified-l1-tight", defense="rub"),
    ]
    (row,) = certificates.strongest(records_of(*rows), ("iris",)).to_dicts()
    assert (row["attacks"], row["accuracy"]) == ("certified-l1", 0.1)


def test_of_equal_proofs_the_tightest_counts() -> None:
    names = ("certified-l1", "certified-l1-best", "certified-l1-tight")
    rows = [rows_of("a", 0.5, 0.1 * i, attack=name) for i, name in enumerate(names)]
    (row,) = certificates.strongest(records_of(*rows), ("iris",)).to_dicts()
    assert row["attacks"] == "certified-l1-best"


def test_margin_is_the_mean_lead_over_the_second_in_points() -> None:
    frame = bands.ranking(records_of(*sweep(4, radii=(0.1,))))
    linf = frame[frame["attack_norm"] == "linf"].set_index("defense")
    for defense in DEFENSES:
        lead = 100 * (law("pgd-linf", 0.1) - law(defense, 0.1))
        assert linf.loc[defense, "margin"] == pytest.approx(lead)
        assert (
            linf.loc[defense, "margin_low"] <= lead + 1e-9 <= linf.loc[defense, "margin_high"] + 1
        )


def test_margin_leaves_out_sets_on_which_the_other_finished_nothing() -> None:
    rows = sweep(3, radii=(0.1,))
    for pair in rows:
        for row in pair:
            if (row["dataset"], row["defense"]) == ("set-0", "nominal"):
                row |= {"accuracy": None, "status": "diverged"}
    frame = bands.ranking(records_of(*rows))
    lead = 100 * (law("pgd-linf", 0.1) - law("nominal", 0.1))
    assert frame[frame["defense"] == "nominal"]["margin"].tolist() == pytest.approx([lead] * 2)


@pytest.mark.parametrize(
    ("sets", "said"),
    [(12, "ahead of the second beyond chance: "), (3, "first by mean rank are ")],
)
def test_sentence_says_what_the_tests_say(sets: int, said: str) -> None:
    told = answer.sentence(frame_of_bands(records_of(*sweep(sets, noise=0.01))))
    assert told.startswith(f"Under attack, {said}")
    assert "RUB (L1 large, L∞ large)" in told
    assert told.count(".") == 1
    assert ("too few data sets" in told) == (sets == 3)


def test_sentence_of_equal_defenses_names_no_winner() -> None:
    rows = [
        rows_of(f"{i}-{d}", 0.5, 0.5, dataset=f"s{i}", defense=d)
        for i in range(8)
        for d in DEFENSES
    ]
    told = answer.sentence(frame_of_bands(records_of(*rows)))
    assert told == "Under attack, the best are equal at L∞ medium."
    (block,) = tables()["answer"].layout(frame_of_bands(records_of(*rows)))
    assert [cell.text for cell in block.rows[0].cells[:4]] == ["all 3 equal", "50.0", "–", "equal"]


def test_sentence_names_who_is_first_where_nobody_is_ahead() -> None:
    rng = random.Random(1)
    rows = [
        rows_of(f"{i}-{d}", 0.5, rng.uniform(0.4, 0.6), dataset=f"s{i}", defense=d)
        for i in range(9)
        for d in DEFENSES
    ]
    frame = frame_of_bands(records_of(*rows))
    first = label(frame.sort_values("mean_rank")["defense"].iloc[0])
    assert answer.sentence(frame) == (
        "Under attack, no defense is distinguishable from the second; first by mean rank: "
        f"{first} (L∞ medium)."
    )


def lone(**tests: Sequence[float]) -> Records:
    """Return records of one cell: the test accuracies of each defense, by data set."""
    return records_of(
        *(
            rows_of(f"{i}-{d}", 0.5, test, dataset=f"s{i}", defense=d.replace("_", "-"))
            for d, values in tests.items()
            for i, test in enumerate(values)
        )
    )


def test_best_by_rank_that_is_behind_in_points_is_marked() -> None:
    # RUB wins two sets of three by one point and loses the third by thirty.
    records = lone(rub=[0.51, 0.51, 0.2], pgd_linf=[0.5, 0.5, 0.5])
    (block,) = tables()["answer"].layout(frame_of_bands(records))
    best, mean, lead, *_ = (cell.text for cell in block.rows[0].cells)
    assert (best, mean) == ("RUB", "40.7")
    assert lead.startswith("-9.3 [") and lead.endswith(f" over PGD-L∞ {answer.BEHIND}")
    assert answer.BEHIND in tables()["answer"].caption


def test_of_equal_mean_ranks_the_higher_mean_accuracy_is_first() -> None:
    records = lone(rub=[0.6, 0.3], pgd_linf=[0.5, 0.5])  # each first once
    frame = frame_of_bands(records)
    assert frame["mean_rank"].tolist() == [1.5, 1.5]
    assert frame["defense"].tolist() == ["pgd-linf", "rub"]
    assert frame["equal"].tolist() == [0, 0]


def test_defenses_equal_on_every_set_are_named_together() -> None:
    records = lone(rub=[0.6, 0.3], pgd_linf=[0.6, 0.3], nominal=[0.1, 0.1])
    (block,) = tables()["answer"].layout(frame_of_bands(records))
    assert block.rows[0].cells[0].text in ("RUB = PGD-L∞", "PGD-L∞ = RUB")


def test_one_defense_alone_has_no_answer() -> None:
    frame = frame_of_bands(records_of(rows_of("a", 0.5, 0.5)))
    assert frame.empty
    assert answer.sentence(frame) == "No two defenses can be compared."


def test_every_radius_has_a_row_of_its_own() -> None:
    records = records_of(*sweep(3))
    table = tables()["radii"]
    labels = [row.label for block in table.layout(table.build(records)) for row in block.rows]
    assert labels.count("ρ = 0.1") == 2
    assert labels.count("ρ = 0") == 1
    assert labels.count("ρ = 50") == 2


def test_conclusions_that_rest_on_flagged_networks_are_named() -> None:
    rows = sweep(3, radii=(0.1,))
    assert suffering(frame_of_bands(records_of(*rows))) == []
    for pair in rows:
        for row in pair:
            row["flags"] = "no-gradient" if row["defense"] == "pgd-linf" else ""
    found = suffering(frame_of_bands(records_of(*rows)))
    assert found == [
        f"{norm} medium (0.01 < ρ ≤ 1): PGD-L∞ is first with 3 of 3 networks flagged"
        for norm in ("L1", "L∞")
    ]
