"""The paper's own numbers: kept right, and reproduced when they are fed back in as records."""

from __future__ import annotations

import hashlib
from itertools import count

import pandas as pd
import pytest

from analysis import paper
from analysis.artifact import tables
from analysis.paper import agreement
from analysis.records import Records
from tests.analysis.made_records import records_of, rows_of

FEATURES = {"mnist": 784, "fashion-mnist": 784, "cifar10": 3072}
ATTACKS = {
    "l2": ("pgd-l2", "fgm-l2"),
    "l1": ("pgd-l1", "fgm-l1"),
    "linf": ("pgd-linf", "fgsm-linf"),
}


def attacks_of(number: int, norm: str) -> tuple[str, ...]:
    if number in (7, 8, 9):
        return ("certified-l1",)
    return ("pgd-l2",) if number >= 10 else ATTACKS[norm]


def as_records(number: int) -> Records:
    """One trial per defense and cell, each with the paper's accuracy on both splits."""
    rows = []
    numbers = count()
    for cell in paper.accuracies(number).to_dict("records"):
        for attack in attacks_of(number, cell["attack_norm"]):
            trial_id = hashlib.sha256(str(next(numbers)).encode()).hexdigest()[:16]
            share = cell["percent"] / 100
            rows.append(
                rows_of(
                    trial_id,
                    share,
                    share,
                    attack=attack,
                    attack_norm=cell["attack_norm"],
                    dataset=cell["dataset"],
                    network=cell["network"],
                    defense=cell["defense"],
                    attack_grid_radius=cell["attack_grid_radius"],
                    attack_radius=cell["attack_radius"],
                    num_features=FEATURES[cell["dataset"]],
                    num_samples=10000,
                )
            )
    return records_of(*rows)


@pytest.fixture(scope="module", params=[3, 4, 5, 7, 8, 9, 10, 11, 12])
def fed_back(request: pytest.FixtureRequest) -> tuple[int, pd.DataFrame]:
    number = request.param
    return number, tables()[f"table{number}"].build(as_records(number))


def test_every_number_comes_back(fed_back: tuple[int, pd.DataFrame]) -> None:
    number, frame = fed_back
    assert len(frame) == len(paper.accuracies(number))
    assert (frame["percent"] == frame["paper_percent"]).all()
    assert (frame["difference"] == 0).all()


def test_marks_follow_the_papers_rule(fed_back: tuple[int, pd.DataFrame]) -> None:
    number, frame = fed_back
    columns: dict[tuple[str, str], dict[str, int]] = {}
    for cell in paper.accuracies(number).to_dict("records"):
        key = (cell["attack_norm"], cell["radius_printed"])
        columns.setdefault(key, {})[cell["defense"]] = round(100 * cell["percent"])
    for row in frame.to_dict("records"):
        column = columns[row["attack_norm"], row["radius_printed"]]
        hundredths = column[row["defense"]]
        assert row["best"] == (hundredths == max(column.values()))
        assert row["near_best"] == (hundredths >= max(column.values()) - 50)


def marks(number: int, norm: str, radius: str) -> tuple[set[str], set[str]]:
    frame = tables()[f"table{number}"].build(as_records(number))
    column = frame[(frame["attack_norm"] == norm) & (frame["radius_printed"] == radius)]
    return set(column[column["best"]]["defense"]), set(column[column["near_best"]]["defense"])


@pytest.mark.parametrize(
    ("number", "norm", "radius", "best", "near"),
    [
        # Read off the printed tables by hand.
        (3, "l2", "0", {"arub-l1"}, {"rub", "arub-l1"}),
        (3, "linf", "0.3", {"pgd-linf"}, {"pgd-linf"}),
        (4, "l2", "0.28", {"pgd-linf"}, {"pgd-linf", "arub-linf"}),
        (5, "linf", "0.5", {"pgd-linf"}, {"pgd-linf"}),
        (7, "l1", "14", {"rub"}, {"rub"}),
        (12, "l2", "0", {"arub-l1", "arub-linf"}, {"arub-l1", "arub-linf", "pgd-linf", "nominal"}),
    ],
)
def test_marks_of_columns_worked_out_by_hand(
    number: int, norm: str, radius: str, best: set[str], near: set[str]
) -> None:
    assert marks(number, norm, radius) == (best, near)


L2_HEADS = "0.00 0.01 0.06 0.28 2.80 8.40 14.00 28.00 56.00"
LINF_HEADS = "0.000 0.001 0.003 0.010 0.100 0.300 0.500 1.00 5.00"
CNN_HEADS = "0.000 0.010 0.020 0.030 0.100 1.000 3.000 5.000 10.000"


def test_printed_table_has_the_papers_columns() -> None:
    table = tables()["table4"]
    blocks = table.layout(table.build(as_records(4)))
    heads = {block.corner[0][:2]: block.columns for block in blocks}
    l2, linf = L2_HEADS.split(), LINF_HEADS.split()
    assert list(heads["L2"]) == l2
    assert heads["L1"][-1] == "140.00"
    assert list(heads["L∞"]) == linf
    (block,) = tables()["table10"].layout(tables()["table10"].build(as_records(10)))
    assert list(block.columns) == CNN_HEADS.split()
    assert [row.label for row in blocks[0].rows][:4] == [
        "RUB",
        "aRUB-L1",
        "aRUB-L∞",
        "Baseline-L∞",
    ]


def test_radii_behind_the_heads_are_grid_radii_times_root_of_features() -> None:
    for number, dataset in ((3, "fashion-mnist"), (5, "cifar10"), (9, "cifar10")):
        for row in paper.accuracies(number).to_dict("records"):
            root = 1 if row["attack_norm"] == "linf" else FEATURES[dataset] ** 0.5
            assert row["attack_radius"] == pytest.approx(row["attack_grid_radius"] * root)
            # Heads are rounded to two decimals (three for Linf); CIFAR's 0.083 reads 0.08.
            assert abs(row["attack_radius"] - float(row["radius_printed"])) < 0.0055


def test_records_at_the_printed_radius_find_their_column() -> None:
    assert paper.column_of(4, "l2", 0.06) == "0.06"
    assert paper.column_of(4, "l2", 0.056) == "0.06"
    assert paper.column_of(4, "l2", 0.03) is None


def test_kept_numbers_are_complete() -> None:
    sizes = {n: len(paper.accuracies(n)) for n in (3, 4, 5, 7, 8, 9, 10, 11, 12)}
    assert sizes == {3: 216, 4: 216, 5: 216, 7: 48, 8: 48, 9: 48, 10: 36, 11: 36, 12: 36}
    assert len(paper.bound_rates()) == 22
    assert len(paper.throughput("tabular")) == 6
    assert len(paper.throughput("vision")) == 8


@pytest.mark.parametrize("number", [3, 9, 12])
def test_papers_side_is_its_whole_table_and_no_more(number: int) -> None:
    data = DATASETS[number]
    rows = [
        rows_of(
            f"{defense}-{radius}", 0.5, 0.5, defense=defense, dataset=data,
            network="cnn" if number == 12 else "mlp-3x200", num_features=FEATURES[data],
            attack=attack, attack_norm=norm, attack_grid_radius=radius, attack_radius=radius,
        )
        for defense in ("nominal", "my-own")
        for norm in ("l2", "l1")
        for attack in attacks_of(number, norm)
        for radius in (0.0, 0.77)
    ]  # fmt: skip
    table = tables()[f"table{number}"]
    frame = table.build(records_of(*rows))
    assert table.compare is not None
    theirs = table.compare(frame)
    shown = sum(cell.text != "–" for block in theirs for row in block.rows for cell in row.cells)
    assert shown == len(paper.accuracies(number))
    for block in table.layout(frame):
        assert [row.label for row in block.rows] == ["Nominal"]
        assert block.columns in {("0.00",), ("0.000",)}


DATASETS = {3: "fashion-mnist", 9: "cifar10", 12: "mnist"}


def test_all_printed_accuracies_but_one_are_of_as_many_samples_as_noise_is_reckoned_with() -> None:
    tables_of_accuracies = (3, 4, 5, 7, 8, 9, 10, 11, 12)
    printed = pd.concat([paper.accuracies(n)["percent"] for n in tables_of_accuracies])
    multiples = (printed * paper.SAMPLES / 100).round() * 100 / paper.SAMPLES
    away = printed[(multiples - printed).abs() > 0.0051]
    assert len(away) == 1


def test_differences_beyond_noise_are_told_from_those_within() -> None:
    frame = tables()["table8"].build(as_records(8))
    assert not frame["beyond"].any()
    ours, theirs = pd.Series([50.0, 50.0, 0.0]), pd.Series([53.0, 51.0, 0.0])
    noise = paper.sampling_noise(ours, theirs, pd.Series([10000, 10000, 10000]))
    # By hand: 1.96 sqrt(0.515 0.485 (1/10000 + 1/2560)) = 2.169 points.
    assert noise[0] == pytest.approx(2.169, abs=0.001)
    assert ((ours - theirs).abs() > noise).tolist() == [True, False, False]
    assert (noise > 0).all()


def test_paper_agrees_with_itself(fed_back: tuple[int, pd.DataFrame]) -> None:
    found = agreement.accuracies(fed_back[1])
    agreed, of, columns = found.winners.partition(" of ")
    assert of
    assert agreed == columns
    assert found.difference == "0.0 points"
    assert found.correlation == "1.00"
    assert found.beyond.startswith("0 of ")


def test_reversed_order_agrees_on_nothing() -> None:
    frame = pd.DataFrame(
        {"attack_norm": "l1", "radius_printed": "0", "defense": list("abc"),
         "percent": [10.0, 20.0, 30.0], "paper_percent": [30.0, 20.0, 10.0],
         "difference": [-20.0, 0.0, 20.0], "beyond": [True, False, True]}
    )  # fmt: skip
    found = agreement.accuracies(frame)
    assert (found.winners, found.correlation, found.beyond) == ("0 of 1", "-1.00", "2 of 3")
    assert found.difference == "13.3 points"


def test_no_common_cell_is_no_agreement() -> None:
    frame = tables()["table8"].build(as_records(8)).assign(paper_percent=float("nan"))
    found = agreement.accuracies(frame)
    assert (found.winners, found.difference, found.correlation) == ("0 of 0", "", "")
