"""Which trials have converged, and which have settled at chance."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.tables import convergence
from tests.analysis.made_records import rows_of
from tests.analysis.test_known_answers import accuracy_curve, one, with_curves


@pytest.mark.parametrize("level", [1 / 3, 0.3, 0.42])
def test_curve_that_is_flat_at_chance_has_not_converged(level: float) -> None:
    flat = accuracy_curve("a", 1e-3, level, level, level + 0.001, level, level)
    row = one(convergence.build(with_curves(*flat)))
    assert (row["learning_rates_converged"], row["learning_rates_at_chance"]) == (0, 1)
    assert (row["converged"], row["at_chance"]) == (False, True)
    assert row["chance"] == pytest.approx(1 / 3)


def test_curve_that_falls_back_to_chance_has_not_converged() -> None:
    fallen = accuracy_curve("a", 1.0, 0.8, 0.6, 0.33, 0.33, 0.33, 0.33)
    assert one(convergence.build(with_curves(*fallen)))["at_chance"]


def test_cell_with_one_rate_above_chance_has_converged() -> None:
    flat, settled = accuracy_curve("a", 1.0, *[0.33] * 5), accuracy_curve("b", 1e-3, *[0.5] * 5)
    row = one(convergence.build(with_curves(*flat, *settled)))
    assert (row["learning_rates_converged"], row["learning_rates_at_chance"]) == (1, 1)
    assert (row["converged"], row["at_chance"]) == (True, False)


def test_curve_that_still_moves_is_not_at_chance() -> None:
    row = one(convergence.build(with_curves(*accuracy_curve("a", 1e-6, 0.1, 0.2, 0.3))))
    assert (row["converged"], row["at_chance"]) == (False, False)


def majority(flags: str, *radii: float, accuracy: float = 0.7) -> list[list[dict[str, object]]]:
    """A trial that says the larger of two classes, 70% of the samples, at every radius."""
    return [
        rows_of("a", accuracy, 0.5, num_classes=2, flags=flags, attack_grid_radius=radius)
        for radius in radii
    ]


@pytest.mark.parametrize(
    ("rows", "chance"),
    [
        (majority("constant-prediction", 0.0), 0.7),
        (majority("", 0.0, 0.1, 10.0), 0.7),  # nothing moves it
        (majority("", 0.0, 0.1, 1.0), 0.5),  # a good network may survive that
        (majority("no-gradient", 0.0, 10.0), 0.5),  # PGD had nothing to follow
        (majority("constant-prediction", 0.0, accuracy=0.3), 0.5),  # the smaller class
        (majority("not-decreasing", 0.0), 0.5),
    ],
)
def test_share_of_the_largest_class_is_chance_where_a_trial_says_nothing_else(
    rows: list[list[dict[str, object]]], chance: float
) -> None:
    flat = accuracy_curve("a", 1e-3, *[0.7] * 5)
    row = one(convergence.build(with_curves(*flat, rows=rows)))
    assert row["chance"] == pytest.approx(chance)
    assert row["at_chance"] == (chance == 0.7)
    assert row["converged"] == (chance != 0.7)


def test_unknown_number_of_classes_leaves_the_rule_of_settling() -> None:
    flat = accuracy_curve("a", 1e-3, *[0.1] * 5)
    rows = [rows_of("a", 0.5, 0.5, num_classes=0)]
    row = one(convergence.build(with_curves(*flat, rows=rows)))
    assert row["converged"]
    assert pd.isna(row["chance"])


def test_nan_in_a_curve_is_a_measurement_that_does_not_exist() -> None:
    lost = accuracy_curve("a", 1e-3, 0.9, 0.9, 0.9, 0.9, float("nan"))
    assert not one(convergence.build(with_curves(*lost)))["converged"]


def test_measurements_two_points_apart_have_settled_whatever_the_rounding() -> None:
    edge = accuracy_curve("a", 1e-3, 0.5, 0.6, 0.7, 0.90, 0.92)
    assert one(convergence.build(with_curves(*edge)))["converged"]


def test_cells_at_chance_are_printed_apart() -> None:
    flat = accuracy_curve("a", 1.0, *[0.33] * 5)
    (block,) = convergence.layout(convergence.build(with_curves(*flat)))
    shown = dict(zip(block.columns, (cell.text for cell in block.rows[0].cells), strict=True))
    assert shown["none converged"] == shown["of these at chance"] == "1"
    assert (shown["rates converged, %"], shown["rates at chance, %"]) == ("0", "100")


# Two classes and 100 samples, 70% of one class: 72% and no more is that class and some luck.
@pytest.mark.parametrize(("level", "converged"), [(0.72, False), (0.73, True)])
def test_two_points_above_the_largest_class_is_converged(level: float, converged: bool) -> None:
    settled = accuracy_curve("a", 1e-3, *[level] * 5)
    rows = majority("constant-prediction", 0.0)
    assert one(convergence.build(with_curves(*settled, rows=rows)))["converged"] == converged
