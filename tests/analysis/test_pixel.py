"""Balls in pixels: which are the same, and what is said where they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.artifact import Cell
from analysis.records import Records
from analysis.tables import pixel
from tests.analysis.made_records import records_of
from tests.analysis.test_known_answers import mnist, one


def scaled(name: str, radius: float, test: float, scaling: str, **values: object) -> list[dict]:
    place = {"attack": "pgd-linf", "attack_grid_radius": radius, "scaling": scaling}
    trial = f"{name}-{scaling}"
    return mnist(trial, test, test, defense=name, **{**place, **values})


def pixel_cells(records: Records) -> dict[str, tuple[Cell, ...]]:
    blocks = pixel.layout(pixel.build(records))
    return {row.label: row.cells for block in blocks for row in block.rows}


def test_larger_ball_in_pixels_is_given_beside_the_columns_and_marks_nothing() -> None:
    records = records_of(
        scaled("rub", 0.1, 0.6, "unit"),
        scaled("nominal", 0.1, 0.9, "standardized"),  # 0.030 in pixels
        scaled("nominal", 1.0, 0.7, "standardized"),  # 0.301: three times 0.1
    )
    frame = pixel.build(records)
    near = frame[frame["attack_grid_radius"] == 0.1].set_index("defense")
    assert near["same_ball"].to_dict() == {"rub": True, "nominal": False}
    assert not near["best"].any()
    assert not near["near_best"].any()
    shown = pixel_cells(records)
    assert shown["Nominal"][0] == Cell("70.00 at 0.30")
    assert shown["RUB"][0].text == "60.00"
    assert not shown["RUB"][0].bold


@pytest.mark.parametrize(("scale", "same"), [(0.1, True), (0.104, True), (0.106, False)])
def test_balls_within_five_percent_are_the_same(scale: float, same: bool) -> None:
    records = records_of(
        scaled("rub", 0.1, 0.6, "unit"),
        scaled("nominal", 0.1, 0.9, "standardized"),
        scaled("nominal", 1.0, 0.7, "standardized"),
    )
    origin = replace(records.provenance, manifests=({"pixel_scales": {"mnist": scale}},))
    frame = pixel.build(replace(records, provenance=origin))
    row = one(frame, attack_grid_radius=0.1, defense="nominal")
    assert (row["same_ball"], row["best"]) == (same, same)
    assert row["measured_radius"] == pytest.approx(scale)


def test_balls_of_no_radius_are_the_same() -> None:
    records = records_of(
        scaled("rub", 0.0, 0.9, "unit"), scaled("nominal", 0.0, 0.8, "standardized")
    )
    frame = pixel.build(records)
    assert frame["same_ball"].all()
    assert frame.set_index("defense")["best"].to_dict() == {"rub": True, "nominal": False}
