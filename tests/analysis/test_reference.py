"""The tables against plain loops, on made-up records full of ties, gaps and diverged trials."""

from __future__ import annotations

import csv
import random
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis.artifact import tables
from analysis.build import build
from analysis.pixels import PIXEL_SCALES
from analysis.records import Records
from tests.analysis import reference
from tests.analysis.made_records import records_of, rows_of
from tests.analysis.reference import Key, Row

FEATURES = {"mnist": 784, "fashion-mnist": 784, "cifar10": 3072}
NUMBERS = {"fashion-mnist": 3, "mnist": 4, "cifar10": 5}
DENSE = (*(attack for pair in reference.PAIRS.values() for attack in pair),)
BOUNDS = ("certified-l1", "certified-l1-tight")
RADII = (0.0, 0.1, 0.3, 1.0)


def trial_rows(rng: random.Random, dataset: str, network: str, **settings: Any) -> list[list[Row]]:
    """One trial's records; accuracies are eighths, so that ties abound."""
    trial_id = f"{rng.getrandbits(64):016x}"
    status = "diverged" if rng.random() < 0.1 else "complete"
    attacks = ("pgd-l2",) if network == "cnn" else (*DENSE, *BOUNDS)
    made = []
    for attack, radius in product(attacks, RADII):
        pair = rows_of(
            trial_id,
            rng.randrange(9) / 8,
            # Near the best, so that cells half a point away and less occur.
            rng.choice([0.5, 0.745, 0.7449, 0.7451, 0.75]),
            dataset=dataset,
            network=network,
            status=status,
            attack=attack,
            attack_norm=attack.split("-")[1],
            attack_grid_radius=radius,
            num_features=FEATURES[dataset],
            num_samples=10000,
            **settings,
        )
        made.append(pair[: 1 if rng.random() < 0.02 else 2])  # now and then no test record
    return made


@pytest.fixture(scope="module", params=[1, 2])
def rows(request: pytest.FixtureRequest) -> list[list[Row]]:
    rng = random.Random(request.param)
    made = []
    grid = product(FEATURES, ("mlp-3x200", "cnn"), ("nominal", "rub", "pgd-linf"))
    for dataset, network, defense in grid:
        radii = (0.0,) if defense == "nominal" else (0.01, 0.1)
        rest = product(radii, (1e-2, 1e-3), (32, 256), ("unit", "standardized"))
        for radius, rate, size, scaling in rest:
            made += trial_rows(
                rng, dataset, network, defense=defense, grid_radius=radius,
                learning_rate=rate, batch_size=size, scaling=scaling,
            )  # fmt: skip
    rng.shuffle(made)
    return made


@pytest.fixture(scope="module")
def records(rows: list[list[Row]]) -> Records:
    return records_of(*rows)


def flat(rows: list[list[Row]], network: str, dataset: str | None = None) -> list[Row]:
    return [
        row
        for pair in rows
        for row in pair
        if row["network"] == network and dataset in (None, row["dataset"])
    ]


def written(name: str, records: Records, out: Path, keys: tuple[str, ...]) -> dict[Key, Row]:
    """A table's CSV as the reference gives it."""
    build([tables()[name]], [], records, out)
    cells = {}
    with (out / f"{name}.csv").open() as file:
        for line in csv.DictReader(file):
            key = tuple(float(line[k]) if k == "attack_grid_radius" else line[k] for k in keys)
            assert key not in cells
            cells[key] = {
                "percent": float(line["percent"]),
                "best": line["best"] == "true",
                "near_best": line["near_best"] == "true",
                "trial_id": line["trial_id"],
            }
    return cells


ROBUST = ("dataset", "attack_norm", "attack_grid_radius", "defense")
SINGLE = ("dataset", "attack", "attack_norm", "attack_grid_radius", "defense")


@pytest.mark.parametrize("dataset", NUMBERS)
def test_tables_3_to_5(
    dataset: str, rows: list[list[Row]], records: Records, tmp_path: Path
) -> None:
    expected = reference.robust(flat(rows, "mlp-3x200", dataset))
    # Now and then one of the two attacks has no test record, and the minimum is missing.
    assert 0 <= 3 * 3 * len(RADII) - len(expected) <= 3
    assert written(f"table{NUMBERS[dataset]}", records, tmp_path, ROBUST) == expected


@pytest.mark.parametrize("name", ["table7", "table8", "table9"])
def test_tables_7_to_9(name: str, rows: list[list[Row]], records: Records, tmp_path: Path) -> None:
    (dataset,) = tables()[name].datasets or ()
    expected = reference.single(flat(rows, "mlp-3x200", dataset), BOUNDS)
    assert written(name, records, tmp_path, SINGLE) == expected


@pytest.mark.parametrize("name", ["table10", "table11", "table12"])
def test_tables_10_to_12(
    name: str, rows: list[list[Row]], records: Records, tmp_path: Path
) -> None:
    (dataset,) = tables()[name].datasets or ()
    expected = reference.single(flat(rows, "cnn", dataset), ("pgd-l2",))
    assert written(name, records, tmp_path, SINGLE) == expected


def test_table_per_scaling(rows: list[list[Row]], records: Records, tmp_path: Path) -> None:
    keys = ("dataset", "scaling", "attack_norm", "attack_grid_radius", "defense")
    expected = reference.robust(flat(rows, "mlp-3x200"), ("scaling",))
    found = written("scaling", records, tmp_path, keys)
    assert {key[1] for key in found} == {"unit", "standardized"}
    assert found == expected


def test_table_in_pixels(rows: list[list[Row]], records: Records, tmp_path: Path) -> None:
    known = [row for row in flat(rows, "mlp-3x200") if row["dataset"] in PIXEL_SCALES]
    expected = reference.pixel(known, PIXEL_SCALES)
    found = written("pixel", records, tmp_path, ROBUST)
    assert {key[0] for key in found} == set(PIXEL_SCALES)
    assert found == expected


def test_ties_and_gaps_do_occur(rows: list[list[Row]]) -> None:
    """The comparison above would be worth little without them."""
    dense = flat(rows, "mlp-3x200", "mnist")
    tied = 0
    for group in reference.grouped(
        dense, lambda r: (r["defense"], r["attack"], r["attack_grid_radius"])
    ).values():
        pick = reference.choose(group)
        assert pick is not None
        same = [
            r
            for r in group
            if r["split"] == "validation"
            and r["status"] == "complete"
            and r["accuracy"] == pick["accuracy"]
        ]
        tied += len(same) > 1
    assert tied > 20
    assert any(r["status"] == "diverged" for r in dense)


def test_changing_every_test_value_changes_no_choice(
    rows: list[list[Row]], records: Records, tmp_path: Path
) -> None:
    rng = random.Random(0)
    spoiled = records_of(
        *(
            [{**row, "accuracy": rng.random()} if row["split"] == "test" else row for row in pair]
            for pair in rows
        )
    )
    choices = []
    for name, made in (("before", records), ("after", spoiled)):
        build([tables()["hyperparameters"]], [], made, tmp_path / name)
        choices.append(pl.read_csv(tmp_path / name / "hyperparameters.csv"))
    before, after = choices
    assert not before["accuracy"].equals(after["accuracy"])
    assert before.drop("accuracy").equals(after.drop("accuracy"))
