"""The ranking within a norm and a band of radii: what it stands on and what it says."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from analysis import summary
from analysis.bands import BANDS, ranking, verdict
from analysis.summary import ranking_cells, text
from analysis.tables import ranks as ranks_table
from tests.analysis.made_records import frame_of, records_of, rows_of

Rows = list[dict[str, object]]
ATTACKS = ("pgd-linf", "fgsm-linf", "pgd-l1", "fgm-l1")
SMALL, MEDIUM, LARGE = (0.0002, 0.001, 0.01), (0.1, 1.0), (2.0, 50.0)
DEFENSES = ("rub", "pgd-linf", "nominal")


def law(defense: str, radius: float) -> float:
    """RUB is last below 0.01 and first above 1; PGD is first between."""
    if radius <= 0.01:
        return {"rub": 0.7, "pgd-linf": 0.8, "nominal": 0.9}[defense]
    if radius <= 1:
        return {"rub": 0.5, "pgd-linf": 0.6, "nominal": 0.4}[defense]
    return {"rub": 0.3, "pgd-linf": 0.1, "nominal": 0.0}[defense]


def sweep(
    sets: int, noise: float = 0.0, radii: tuple[float, ...] = (0.0, *SMALL, *MEDIUM, *LARGE)
) -> list[Rows]:
    rng = random.Random(0)
    return [
        rows_of(
            f"{i}-{defense}", 0.5, abs(law(defense, radius) + noise * rng.uniform(-1, 1)),
            dataset=f"set-{i}", defense=defense, attack=attack, attack_grid_radius=radius,
        )
        for i in range(sets)
        for defense in DEFENSES
        for attack in ATTACKS
        for radius in radii
    ]  # fmt: skip


def first(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    best = table[table["place"] == 1]
    return {(r["attack_norm"], r["band"]): r["defense"] for _, r in best.iterrows()}


def test_each_band_has_a_winner_of_its_own() -> None:
    table = ranking(records_of(*sweep(3)))
    assert first(table) == {
        ("any", "clean"): "nominal",
        **{(norm, "small"): "nominal" for norm in ("l1", "linf")},
        **{(norm, "medium"): "pgd-linf" for norm in ("l1", "linf")},
        **{(norm, "large"): "rub" for norm in ("l1", "linf")},
    }


def test_more_radii_of_one_band_change_no_other_band() -> None:
    few, many = (
        ranking(records_of(*sweep(3, radii=radii)))
        for radii in ((0.1, 2.0), (0.0002, 0.0005, 0.0008, 0.001, 0.003, 0.1, 2.0))
    )
    shared = many[many["band"].isin(["medium", "large"])].reset_index(drop=True)
    assert shared.equals(few)


def test_accuracy_is_the_minimum_over_both_attacks() -> None:
    rows = [pair for d in ("a", "b") for pair in (
        rows_of(f"{d}-rub", 0.5, 0.9, dataset=d, defense="rub", attack="pgd-linf"),
        rows_of(f"{d}-rub", 0.5, 0.1, dataset=d, defense="rub", attack="fgsm-linf"),
        rows_of(f"{d}-nominal", 0.5, 0.5, dataset=d, attack="pgd-linf"),
        rows_of(f"{d}-nominal", 0.5, 0.6, dataset=d, attack="fgsm-linf"),
    )]  # fmt: skip
    table = ranking(records_of(*rows))
    assert table["defense"].tolist() == ["nominal", "rub"]
    assert table["mean_accuracy"].tolist() == [0.5, 0.1]


def test_ranks_are_of_means_over_the_band() -> None:
    # Second at most radii, but first on average.
    rows = [
        rows_of(f"{d}-{i}", 0.5, test, dataset="a", defense=d, attack_grid_radius=radius)
        for d, tests in {"rub": (0.5, 0.5, 0.9), "nominal": (0.6, 0.6, 0.1)}.items()
        for i, (radius, test) in enumerate(zip((0.1, 0.3, 0.5), tests, strict=True))
    ]
    table = ranking(records_of(*rows))
    assert table["defense"].tolist() == ["rub", "nominal"]
    assert table["radii"].tolist() == [3, 3]


def test_radii_that_one_ranked_defense_lacks_count_for_none() -> None:
    rows = [
        pair
        for pair in sweep(3, radii=(0.1, 0.3))
        if not (pair[0]["defense"] == "rub" and pair[0]["attack_grid_radius"] == 0.3)
    ]
    table = ranking(records_of(*rows))
    assert set(table["radii"]) == {1}
    assert table["mean_rank"].notna().all()


def test_limits_of_bands_are_whole() -> None:
    for low, high in zip(BANDS, BANDS[1:], strict=False):
        assert low.up_to == high.above
    table = ranking(records_of(*sweep(2, radii=(0.0, 0.01, 0.1 * 3, 1.0, 1.001))))
    assert table.groupby("band")["radii"].first().to_dict() == {
        "clean": 1, "small": 1, "medium": 2, "large": 1,
    }  # fmt: skip


def test_one_data_set_has_no_interval_and_no_test() -> None:
    table = ranking(records_of(*sweep(1)))
    assert table["ci_low"].isna().all()
    assert table["holm_p"].isna().all()
    for *_, interval, _, _, said, p, sets in ranking_cells(table):
        assert (interval, said, p, sets) == ("", "too few data sets", "", "1/1")


def test_clear_winner_of_many_sets_is_ahead_and_noise_is_not() -> None:
    clear = {row[:2]: row[7] for row in ranking_cells(ranking(records_of(*sweep(12, noise=0.01))))}
    assert set(clear.values()) == {"ahead"}
    rng = np.random.default_rng(0)
    rows = [
        rows_of(f"{i}-{d}", 0.5, float(rng.uniform()), dataset=f"set-{i}", defense=d)
        for i in range(12)
        for d in DEFENSES
    ]
    ((*_, said, _, _),) = ranking_cells(ranking(records_of(*rows)))
    assert said == "not distinguishable"


def test_equal_defenses_are_not_distinguishable() -> None:
    rows = [
        rows_of(f"{i}-{d}", 0.5, 0.5, dataset=f"s{i}", defense=d)
        for i in range(8)
        for d in DEFENSES
    ]
    table = ranking(records_of(*rows))
    assert set(table["mean_rank"]) == {1.0}
    ((*_, said, _, _),) = ranking_cells(table)
    assert said == "not distinguishable"


@pytest.mark.parametrize(
    ("friedman", "holm", "said"),
    [
        (0.01, 0.01, "ahead"),
        (0.2, 0.01, "not distinguishable"),
        (0.01, 0.05, "not distinguishable"),
        (float("nan"), 0.01, "ahead"),  # two defenses: there is no more than the one test
        (0.01, float("nan"), "too few data sets"),
    ],
)
def test_verdict(friedman: float, holm: float, said: str) -> None:
    assert verdict(friedman, holm) == said


def test_text_is_narrow_whatever_defenses_are_called() -> None:
    rows = [
        [{**row, "defense": f"a-very-long-name-of-a-defense-{row['defense']}"} for row in pair]
        for pair in sweep(7, noise=0.05)
    ]
    for made in (rows, sweep(7)):
        lines = text(ranking(records_of(*made))).splitlines()
        assert max(map(len, lines)) <= 100
        assert sum(line.startswith(("L1", "L∞")) for line in lines) == 6


def test_every_defense_and_band_is_in_the_table() -> None:
    rows = sweep(3) + [
        rows_of("x", 0.5, 0.5, dataset="set-0", defense="my-own", attack=a) for a in ATTACKS
    ]
    frame = ranks_table.build(records_of(*rows))
    for block in ranks_table.layout(frame):
        assert [row.label for row in block.rows] == ["RUB", "PGD-L∞", "Nominal", "my-own"]
        assert block.columns == ("clean", "small", "medium", "large")
        assert {cell.text for cell in block.rows[-1].cells} == {"–"}


def test_frames_and_records_rank_alike() -> None:
    rows = sweep(2)
    assert summary.ranking(frame_of(*rows)).equals(summary.ranking(records_of(*rows)))


def test_norm_in_which_one_attack_alone_was_run_says_so() -> None:
    whole = sweep(2, radii=(0.1,))
    less = [pair for pair in whole if pair[0]["attack"] != "fgm-l1"]
    assert "not always a minimum" not in text(ranking(records_of(*whole)))
    (line,) = (row for row in text(ranking(records_of(*less))).splitlines() if "minimum" in row)
    assert line == "L1: not always a minimum, pgd-l1 was run"


def test_seed_in_which_a_defense_finished_nothing_is_pointed_out() -> None:
    rows = sweep(2, radii=(0.1,))
    more = [[{**r, "seed": 1, "trial_id": f"{r['trial_id']}-1"} for r in pair] for pair in rows]
    for pair in more:
        for row in pair:
            if row["defense"] == "rub":
                row |= {"accuracy": None, "status": "diverged"}
    records = records_of(*rows, *more)
    assert set(ranking(records)["repetitions"]) == {1}
    (note,) = summary.notes(records)
    assert note.endswith("count for none: RUB in 2 (on 2 data sets)")


def test_data_set_without_a_radius_that_all_share_is_counted_as_left_out() -> None:
    rows = [
        pair
        for pair in sweep(3, radii=(0.1, 0.3))
        if pair[0]["dataset"] != "set-0"
        or pair[0]["attack_grid_radius"] == (0.1 if pair[0]["defense"] == "rub" else 0.3)
    ]
    table = ranking(records_of(*rows))
    assert (set(table["datasets"]), set(table["total"])) == ({2}, {3})
