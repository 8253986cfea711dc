"""Names in MLflow: what filters take, what people read."""

from __future__ import annotations

import re

import pytest

from robust import attacks
from sweep.tracking import names

ROW = {
    "defense": "rub",
    "grid_radius": 0.1,
    "learning_rate": 1e-3,
    "dataset": "wine",
    "network": "mlp-3x200",
    "batch_size": 24,
    "scaling": "standardized",
    "seed": 0,
    "split_seed": 0,
}


@pytest.mark.parametrize("kind", [*attacks.names(), "certified-l1", "l2", "mine-linf(steps=3)"])
@pytest.mark.parametrize("radius", [1e-5, 0.0002, 0.1, 1.0, 10.0, 50])
def test_metric_names_need_no_backticks(kind: str, radius: float) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", names.accuracy(kind, radius))


def test_radii_of_the_paper_have_names_of_their_own() -> None:
    radii = [0.0002, 0.0005, 0.0008, 0.001, 0.0015, 0.002, 0.003, 0.01, 0.1, 0.3, 0.5, 1, 2, 5, 10]
    assert len({names.accuracy("pgd-linf", radius) for radius in radii}) == len(radii)
    assert names.accuracy("pgd-linf", 0.1) == "pgd_linf_0_1"
    assert names.accuracy("pgd-linf", 10.0) == "pgd_linf_10"
    assert names.accuracy("pgd-linf", 1e-5) == "pgd_linf_0_00001"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (0.1, "0.1"), (1e-3, "1e-3"), (1e-6, "1e-6"), (0.0025, "0.0025"), (10.0, "10")],
)
def test_rates_are_written_as_people_write_them(value: float, text: str) -> None:
    assert names.short(value) == text


def test_run_name_begins_with_what_differs() -> None:
    assert names.run_name(ROW).startswith("rub, rho 0.1, lr 1e-3, wine")


def test_nominal_training_has_no_radius_in_its_name() -> None:
    named = names.run_name({**ROW, "defense": "nominal", "grid_radius": 0.0})
    assert named.startswith("nominal, lr 1e-3, wine")


@pytest.mark.parametrize("key", [key for key in ROW if key != "split_seed"])
def test_runs_that_differ_have_different_names(key: str) -> None:
    value = ROW[key]
    other = f"{value}x" if isinstance(value, str) else value + 1
    assert names.run_name({**ROW, key: other}) != names.run_name(ROW)
