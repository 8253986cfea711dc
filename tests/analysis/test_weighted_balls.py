"""Balls with the costs of a catalog entry stand by themselves in every table and figure."""

from __future__ import annotations

import json

from analysis import autoattack, certificates
from analysis.best import choose
from analysis.certificates import proof_title
from analysis.figures import bounds
from analysis.names import label
from analysis.records import Records
from analysis.tables import accuracy, proofs, robust
from analysis.weakest import weakest
from tests.analysis.made_records import records_of, rows_of

UNIFORM = {
    "pgd-l1": 0.6,
    "fgm-l1": 0.65,
    "vertex-l1": 0.5,
    "certified-l1": 0.3,
    "certified-l1-best": 0.4,
}


def rows(trial: str, costs: str, better: float = 0.0, **values: object) -> list[list[dict]]:
    found = []
    for name, own in UNIFORM.items():
        for attack, gain in ((name, 0.0), (f"{name}(costs=catalog)", 0.3)):
            options = {"version": 1} | ({"costs": costs} if gain else {})
            told = {"attack": attack, "attack_norm": "l1", **values}
            told["evaluation_options"] = json.dumps(options)
            found.append(rows_of(trial, own + gain + better, own + gain + better, **told))
    return found


def made(costs: str = "one") -> Records:
    trained = json.dumps({"loss": "cross-entropy"})
    priced = json.dumps({"costs": costs, "loss": "cross-entropy"})
    weighted = {"defense": "rub(costs=catalog)", "training_options": priced}
    return records_of(
        *rows("a", costs, defense="rub", training_options=trained, grid_radius=0.1),
        *rows("b", costs, 0.05, **weighted, grid_radius=0.1),
    )


def test_minimum_over_attacks_is_of_plain_balls() -> None:
    found = weakest(made(), ["iris"])
    assert dict(zip(found["defense"], found["accuracy"].round(9), strict=True)) == {
        "rub": 0.6,
        "rub(costs=catalog)": 0.65,
    }
    assert set(found["attacks"]) == {"fgm-l1+pgd-l1"}


def test_best_proof_is_of_plain_balls() -> None:
    found = certificates.strongest(made(), ["iris"])
    assert set(found["attacks"]) == {"certified-l1-best"}
    assert sorted(found["accuracy"].round(9)) == [0.4, 0.45]
    assert certificates.recorded(made()) == ["certified-l1-best", "certified-l1"]


def test_the_best_network_is_chosen_in_plain_balls() -> None:
    records = made()
    (radius,) = records.cells["attack_grid_radius"].unique().to_list()
    for measure, expected in (("attacked", 0.55), ("certified", 0.45)):
        chosen = choose(records, "iris", "l1", radius, measure)
        assert round(chosen.validation, 9) == expected
        assert chosen.trial["defense"] == "rub(costs=catalog)"


def test_bounds_of_one_network_are_of_plain_balls() -> None:
    frame = bounds.build(made()).set_index("defense")
    assert frame["certified"].round(9).to_dict() == {"rub": 0.4, "rub(costs=catalog)": 0.45}
    assert frame["attacked"].round(9).to_dict() == {"rub": 0.5, "rub(costs=catalog)": 0.55}


def test_accuracy_and_proofs_show_balls_with_costs_under_their_names() -> None:
    shown = accuracy.build(made())
    mine = shown[shown["attacks"] == "vertex-l1(costs=catalog)"].set_index("defense")
    assert mine["accuracy"].round(9).to_dict() == {"rub": 0.8, "rub(costs=catalog)": 0.85}
    titles = [block.title for block in accuracy.layout(shown)]
    assert any("Vertex-L1 (costs = catalog)" in title for title in titles) or any(
        "vertex-l1(costs=catalog)" in title for title in titles
    )
    proven = proofs.build(made())
    best = proven[proven["attack"] == "certified-l1-best(costs=catalog)"].set_index("defense")
    assert best["accuracy"].round(9).to_dict() == {"rub": 0.7, "rub(costs=catalog)": 0.75}
    assert proof_title("certified-l1-best(costs=catalog)", "l1") == (
        "L1, best of all proofs, costs = catalog"
    )


def test_defenses_of_other_balls_are_defenses_of_their_own() -> None:
    frame = robust.robust_accuracy(made(), ["iris"])
    assert set(frame["defense"]) == {"rub", "rub(costs=catalog)"}
    assert label("rub(costs=catalog)") == "RUB (costs = catalog)"


def test_two_entries_costs_of_one_data_set_are_two_protocols() -> None:
    trained = {"grid_radius": 0.1, "dataset": "iris"}

    def both(first: str, second: str) -> Records:
        weighted = [
            rows(
                trial,
                costs,
                defense="rub(costs=catalog)",
                training_options=json.dumps({"costs": costs}),
                learning_rate=rate,
                **trained,
            )
            for trial, costs, rate in (("a", first, 1e-2), ("b", second, 1e-3))
        ]
        return records_of(*weighted[0], *weighted[1])

    assert len(both("one", "one").trials) == 2
    assert len(both("one", "another").trials) == 1


def test_costs_of_other_data_sets_are_no_other_protocol() -> None:
    names = {"a": "iris", "b": "wine"}
    parts = [
        part
        for trial, name in names.items()
        for part in rows(
            trial,
            f"costs of {name}",
            dataset=name,
            defense="rub(costs=catalog)",
            grid_radius=0.1,
            training_options=json.dumps({"costs": f"costs of {name}"}),
        )
    ]
    records = records_of(*parts)
    assert set(records.trials["dataset"]) == {"iris", "wine"}
    assert not [note for note in records.provenance.notes if "costs" in note]


def test_strong_attacks_are_compared_with_plain_balls() -> None:
    parts = rows("a", "one", defense="rub", grid_radius=0.1)
    strong = rows_of(
        "a", None, 0.45, attack="autoattack-l1", attack_norm="l1", defense="rub", grid_radius=0.1
    )
    frame = autoattack.attacked(records_of(*parts, strong))
    assert frame["vertex"].round(9).to_list() == [0.5]
    assert frame["certified"].round(9).to_list() == [0.4]
