"""Tables worked out by hand from a few records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from analysis.artifact import Cell, tables
from analysis.build import write_table
from analysis.drawing import draw_figure
from analysis.figures import pareto
from analysis.figures.differences import groups
from analysis.figures.improvement import histogram
from analysis.figures.pareto import efficient
from analysis.pixels import PIXEL_SCALES
from analysis.records import Records
from analysis.tables import (
    certified,
    clean,
    convergence,
    health,
    masking,
    pixel,
    robust,
    selection,
    table01,
    throughput,
)
from sweep.schema import CURVE_COLUMNS, SCHEMA_VERSION
from tests.analysis.made_records import records_of, rows_of


def one(frame: pd.DataFrame, **values: object) -> pd.Series:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def mnist(trial_id: str, validation: float, test: float, **values: object) -> list[dict]:
    return rows_of(trial_id, validation, test, dataset="mnist", num_features=784, **values)


def test_robust_accuracy_is_the_minimum_of_two_separate_selections() -> None:
    records = records_of(
        mnist("a", 0.9, 0.80, attack="pgd-l2"),
        mnist("b", 0.8, 0.99, attack="pgd-l2", learning_rate=1e-2),
        mnist("a", 0.7, 0.10, attack="fgm-l2"),
        mnist("b", 0.8, 0.85, attack="fgm-l2", learning_rate=1e-2),
    )
    row = one(robust.robust_accuracy(records, ["mnist"]))
    assert row["percent"] == 80.0
    assert row["trial_id"] == "a"
    assert row["attacks"] == "fgm-l2+pgd-l2"
    assert row["candidates"] == 2
    assert row["attack_radius"] == pytest.approx(2.8)


@pytest.mark.parametrize("name", ["MNIST", "mnist", "mnist_784"])
def test_image_sets_are_known_however_spelt(name: str) -> None:
    records = records_of(
        rows_of("a", 0.9, 0.8, dataset=name, num_features=784, attack="pgd-l2"),
        rows_of("b", 0.9, 0.7, attack="pgd-l2"),
    )
    assert one(tables()["table4"].build(records))["percent"] == 80.0
    assert one(tables()["accuracy"].build(records))["percent"] == 70.0
    assert records.tabular_datasets == ("iris",)


def test_certificates_and_vertices_stay_out_of_the_attack_tables() -> None:
    records = records_of(
        mnist("a", 0.9, 0.80, attack="pgd-l1"),
        mnist("a", 0.9, 0.10, attack="certified-l1"),
        mnist("a", 0.9, 0.20, attack="certified-l1-tight"),
        mnist("a", 0.9, 0.30, attack="vertex-l1"),
    )
    assert one(robust.robust_accuracy(records, ["mnist"]))["percent"] == 80.0
    bounds = certified.certified_accuracy(records, ["mnist"])
    assert dict(zip(bounds["attack"], bounds["percent"], strict=True)) == {
        "certified-l1": 10.0,
        "certified-l1-tight": 20.0,
    }


def test_certified_tables_select_by_certified_validation_accuracy() -> None:
    records = records_of(
        mnist("a", 0.9, 0.9, attack="pgd-l1"),
        mnist("b", 0.1, 0.1, attack="pgd-l1", learning_rate=1e-2),
        mnist("a", 0.3, 0.2, attack="certified-l1"),
        mnist("b", 0.4, 0.5, attack="certified-l1", learning_rate=1e-2),
    )
    assert one(certified.certified_accuracy(records, ["mnist"]))["percent"] == 50.0


def test_convolutional_networks_have_tables_of_their_own() -> None:
    records = records_of(
        mnist("a", 0.9, 0.8, attack="pgd-l2"),
        mnist("b", 1.0, 1.0, attack="pgd-l2", network="cnn", attack_radius=0.1),
    )
    assert one(robust.robust_accuracy(records, ["mnist"]))["percent"] == 80.0
    assert one(tables()["table12"].build(records))["percent"] == 100.0


def test_cells_within_half_a_point_are_marked_inclusively() -> None:
    accuracies = {"rub": 0.900, "arub-l1": 0.895, "nominal": 0.8949, "pgd-linf": 0.900}
    records = records_of(
        *(mnist(name, 0.5, value, defense=name) for name, value in accuracies.items())
    )
    frame = robust.robust_accuracy(records, ["mnist"])
    assert frame["defense"].tolist() == ["rub", "arub-l1", "pgd-linf", "nominal"]
    assert frame["best"].tolist() == [True, False, True, False]
    assert frame["near_best"].tolist() == [True, True, True, False]


def test_marks_appear_in_every_form(tmp_path) -> None:  # type: ignore[no-untyped-def]
    records = records_of(
        mnist("a", 0.5, 0.9, defense="rub"),
        mnist("b", 0.5, 0.896, defense="arub-linf"),
        mnist("c", 0.5, 0.2, defense="nominal"),
    )
    write_table(tables()["table4"], records, tmp_path)
    markdown = (tmp_path / "table4.md").read_text()
    assert "| RUB | **90.00** |" in markdown
    assert "| aRUB-L∞ | *89.60* |" in markdown
    assert "| COAP-L∞ | – |" in markdown
    latex = (tmp_path / "table4.tex").read_text()
    assert r"RUB & \cellcolor{nearbest}\textbf{90.00} \\" in latex
    assert r"aRUB-$L_{\infty}$ & \cellcolor{nearbest}89.60 \\" in latex
    assert r"Nominal & 20.00 \\" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 1


def test_throughput_averages_data_sets_not_trials() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.5, train_steps_per_second=10.0),
        rows_of("b", 0.5, 0.5, train_steps_per_second=20.0),
        rows_of("c", 0.5, 0.5, dataset="wine", train_steps_per_second=35.0),
        rows_of("d", 0.5, 0.5, train_steps_per_second=900.0, pack_size=4),
        rows_of("e", None, None, train_steps_per_second=None, status="failed"),
    )
    frame = throughput.batches_per_second(records, ["iris", "wine"])
    single = one(frame, packing="single")
    assert single["batches_per_second_mean"] == 25.0
    assert single["batches_per_second_std"] == pytest.approx(200**0.5)
    packed = one(frame, packing="packed")
    assert (packed["batches_per_second_mean"], packed["pack_size"]) == (900.0, 4)


def speeds(*packs: tuple[str, int, float]) -> Records:
    """Return one trial of each pack: defense, size, rate."""
    return records_of(
        *(
            rows_of(str(i), 0.5, 0.5, defense=name, pack_size=size, train_steps_per_second=rate)
            for i, (name, size, rate) in enumerate(packs)
        )
    )


def printed_speeds(records: Records) -> dict[str, dict[str, str]]:
    table = tables()["table2"]
    (block,) = table.layout(table.build(records))
    return {
        row.label: dict(zip(block.columns, (cell.text for cell in row.cells), strict=True))
        for row in block.rows
    }


def test_packs_of_different_sizes_are_never_averaged() -> None:
    frame = throughput.batches_per_second(
        speeds(("rub", 4, 100.0), ("rub", 77, 900.0), ("nominal", 7, 500.0)), ["iris"]
    )
    rates = frame.set_index(["defense", "pack_size"])["batches_per_second_mean"].to_dict()
    assert rates == {("rub", 4): 100.0, ("rub", 77): 900.0, ("nominal", 7): 500.0}


def test_rates_stand_side_by_side_only_in_packs_of_one_size() -> None:
    records = speeds(
        *(("rub", 1, 9.0), ("rub", 4, 100.0), ("rub", 77, 900.0)),
        *(("nominal", 7, 500.0), ("nominal", 4, 300.0), ("pgd-linf", 77, 50.0)),
    )
    shown = printed_speeds(records)
    assert shown["RUB"]["packs of 77: mean"] == "900.0"
    assert shown["PGD-L∞"]["packs of 77: mean"] == "50.0"
    assert shown["Nominal"]["packs of 77: mean"] == "–"
    assert shown["Nominal"]["packs of 4: mean"] == "300.0"
    assert "packs of 7: mean" not in shown["Nominal"]  # the CSV has it
    assert (shown["RUB"]["single: mean"], shown["Nominal"]["single: mean"]) == ("9.0", "–")


def test_papers_rates_are_compared_within_a_size() -> None:
    table = tables()["table2"]
    assert table.compare is not None
    records = speeds(("rub", 1, 10.0), ("rub", 4, 100.0), ("rub", 77, 900.0))
    (block,) = table.compare(table.build(records))
    assert block.columns[2:] == (
        "ours single over it",
        "ours in packs of 77 over it",
        "ours in packs of 4 over it",
    )


def test_without_larger_packs_only_single_networks_are_printed() -> None:
    shown = printed_speeds(speeds(("rub", 1, 9.0)))
    assert set(shown["RUB"]) == {"single: mean", "deviation", "data sets"}


def test_clean_accuracy_is_compared_with_nominal_on_the_same_data_set() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.90, attack_grid_radius=0.0, defense="rub"),
        rows_of("b", 0.5, 0.80, attack_grid_radius=0.0),
        rows_of("c", 0.5, 0.70, attack_grid_radius=0.0, defense="rub", dataset="wine"),
    )
    row = one(clean.build(records))
    assert (row["dataset"], row["defense"]) == ("iris", "rub")
    assert row["difference"] == pytest.approx(10.0)


def test_selection_noise_measures_the_gap_to_the_best_on_test() -> None:
    records = records_of(
        rows_of("a", 0.9, 0.6),
        rows_of("b", 0.8, 0.7, learning_rate=1e-2),
        rows_of("c", 0.9, 0.8, attack_grid_radius=1.0),
        rows_of("d", 0.99, 0.99, status="diverged"),
    )
    row = one(selection.build(records))
    assert row["choices"] == 2
    assert row["picked_best_percent"] == 50.0
    assert row["mean_gap"] == pytest.approx(5.0)
    assert row["mean_optimism"] == pytest.approx(20.0)


def test_health_counts_outcomes_and_flags() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.5, flags="dead overfit"),
        rows_of("b", 0.5, 0.5, flags="dead", learning_rate=1e-2),
        rows_of("c", None, None, status="diverged"),
        rows_of("d", None, None, status="failed", error="out of memory"),
        rows_of("e", 0.5, 0.5, dataset="wine"),
    )
    frame = health.build(records)
    iris = one(frame, dataset="iris")
    assert [iris[n] for n in ("trials", "complete", "diverged", "failed")] == [4, 2, 1, 1]
    assert (iris["flag_dead"], iris["flag_overfit"], iris["short"]) == (2, 1, 0)
    assert one(frame, dataset="wine")["short"] == 3


def test_masking_counts_choices_where_the_weaker_attack_wins_by_a_point() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.50, attack="pgd-linf", attack_grid_radius=0.1),
        rows_of("a", 0.5, 0.30, attack="fgsm-linf", attack_grid_radius=0.1),
        rows_of("a", 0.5, 0.50, attack="pgd-linf", attack_grid_radius=0.3),
        rows_of("a", 0.5, 0.495, attack="fgsm-linf", attack_grid_radius=0.3),
    )
    row = one(masking.build(records))
    assert (row["choices"], row["masked_percent"]) == (2, 50.0)
    assert row["largest_lead"] == pytest.approx(20.0)


def test_pixel_radii_never_flatter_a_standardised_network() -> None:
    def at(trial_id: str, radius: float, test: float, scaling: str) -> list[dict]:
        values = {"attack_grid_radius": radius, "scaling": scaling}
        return mnist(trial_id, test, test, attack="pgd-linf", **values)

    records = records_of(
        at("u", 0.1, 0.5, "unit"),
        at("u", 0.3, 0.2, "unit"),
        at("s", 0.1, 0.9, "standardized"),  # 0.030 in pixels
        at("s", 0.3, 0.8, "standardized"),  # 0.090
        at("s", 0.5, 0.7, "standardized"),  # 0.151: the first that covers 0.1
        at("s", 1.0, 0.1, "standardized"),  # 0.301: the first that covers 0.3
    )
    frame = pixel.build(records)
    near = one(frame, attack_grid_radius=0.1)
    assert (near["percent"], near["scaling"]) == (70.0, "standardized")
    assert near["measured_radius"] == pytest.approx(0.5 * PIXEL_SCALES["mnist"])
    far = one(frame, attack_grid_radius=0.3)
    assert (far["percent"], far["scaling"]) == (20.0, "unit")
    # No network was attacked at 0.5 or beyond in pixels.
    assert set(frame["attack_grid_radius"]) == {0.1, 0.3}


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
    assert shown["RUB"][0] == Cell("60.00")


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


def test_manifest_states_the_pixel_scale_of_its_images() -> None:
    values = {"attack": "pgd-linf", "scaling": "standardized"}
    records = records_of(
        mnist("s", 0.9, 0.9, attack_grid_radius=0.1, **values),  # 0.025 in pixels
        mnist("s", 0.8, 0.8, attack_grid_radius=1.0, **values),  # 0.25: covers 0.1
    )
    origin = replace(records.provenance, manifests=({"pixel_scales": {"mnist": 0.25}},))
    row = one(pixel.build(replace(records, provenance=origin)))
    assert (row["attack_grid_radius"], row["percent"]) == (0.1, 80.0)
    assert row["measured_radius"] == pytest.approx(0.25)


def with_curves(
    *points: dict[str, object], rows: Sequence[list[dict[str, object]]] = ()
) -> Records:
    base = {
        "schema_version": SCHEMA_VERSION,
        "experiment": "made",
        "trial_id": "a",
        "pack_id": "p0",
        "dataset": "iris",
        "network": "mlp-3x200",
        "defense": "nominal",
        "grid_radius": 0.0,
        "learning_rate": 1e-3,
        "batch_size": 256,
        "scaling": "standardized",
        "seed": 0,
        "norm": None,
        "radius": None,
    }
    records = records_of(*(rows or [rows_of("a", 0.5, 0.5)]))
    frame = pl.DataFrame([{**base, **point} for point in points], infer_schema_length=None)
    curves = frame.select(list(CURVE_COLUMNS)).lazy()
    return Records(records.trials, records.cells, records.validation, records.test, curves)


def accuracy_curve(trial_id: str, rate: float, *values: float | None) -> list[dict[str, object]]:
    fixed = {"trial_id": trial_id, "learning_rate": rate, "quantity": "validation_accuracy"}
    return [{**fixed, "step": 500 * (i + 1), "value": v} for i, v in enumerate(values)]


def test_cell_converges_when_any_rate_settles_in_its_last_fifth() -> None:
    settled = accuracy_curve("a", 1e-3, 0.1, 0.5, 0.8, 0.90, 0.91)
    rising = accuracy_curve("b", 1e-6, 0.1, 0.2, 0.3, 0.40, 0.50)
    row = one(convergence.build(with_curves(*settled, *rising)))
    assert (row["learning_rates"], row["learning_rates_converged"]) == (2, 1)
    assert row["converged"]
    never = one(convergence.build(with_curves(*rising)))
    assert not never["converged"]


def test_last_two_measurements_decide_where_the_last_fifth_has_one() -> None:
    settled = accuracy_curve("a", 1e-3, 0.5, 0.90, 0.91)
    rising = accuracy_curve("b", 1e-6, 0.5, 0.80, 0.91)
    once = accuracy_curve("c", 1e-2, 0.5)
    row = one(convergence.build(with_curves(*settled, *rising, *once)))
    assert (row["learning_rates"], row["learning_rates_converged"]) == (2, 1)


def test_trial_without_late_measurements_has_not_converged() -> None:
    lost = accuracy_curve("a", 1e-3, 0.9, 0.9, 0.9, 0.9, None)
    assert not one(convergence.build(with_curves(*lost)))["converged"]


# Three classes and 100 samples: two standard errors of chance are 9.4 points.
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


def test_bound_rate_is_the_share_of_checks_that_held() -> None:
    fixed = {"quantity": "bound_holds", "norm": "linf", "radius": 0.1, "defense": "arub-linf"}
    frame = table01.build(
        with_curves(
            *({**fixed, "step": 500 * i, "value": v} for i, v in enumerate([1.0, 1, 0, 1]))
        )
    )
    row = one(frame)
    assert (row["percent_upper_bound"], row["checks"]) == (75.0, 4)
    assert row["paper_percent"] == 95
    assert row["difference"] == -20


def test_histogram_bins_are_five_points_with_zero_to_the_right() -> None:
    edges, counts = histogram(pd.Series([-7.0, -5.0, -0.1, 0.0, 4.9, 5.0]))
    assert dict(zip(edges, counts, strict=True)) == {-10: 1, -5: 2, 0: 2, 5: 1}


def test_groups_join_ranks_closer_than_the_difference() -> None:
    assert groups([1.0, 1.5, 2.2, 4.0], 1.0) == [(0, 1), (1, 2)]
    assert groups([1.0, 3.0], 1.0) == []


def test_efficient_points_are_those_nobody_beats() -> None:
    cost, gain = pd.Series([1.0, 2.0, 3.0, 2.0]), pd.Series([0.5, 0.4, 0.9, 0.6])
    assert efficient(cost.to_numpy(), gain.to_numpy()).tolist() == [True, False, True, True]


def trained(*packs: tuple[str, str, int, float, float]) -> Records:
    """Return one trial of each pack: data set, defense, size, seconds per network, accuracy."""
    return records_of(
        *(
            rows_of(
                str(i), accuracy, accuracy, dataset=dataset, defense=name, pack_size=size,
                train_seconds=seconds, attack_grid_radius=0.1,
            )
            for i, (dataset, name, size, seconds, accuracy) in enumerate(packs)
        )
    )  # fmt: skip


def test_only_packs_of_one_size_are_called_efficient() -> None:
    # Alone, nominal takes longer than RUB in a large pack; together it takes a tenth.
    frame = pareto.build(
        trained(
            ("iris", "nominal", 1, 50.0, 0.5),
            ("iris", "nominal", 77, 1.0, 0.5),
            ("iris", "rub", 77, 10.0, 0.9),
            ("iris", "pgd-linf", 7, 0.1, 0.95),
        )
    ).set_index("defense")
    assert frame["pack_size"].to_dict() == {"nominal": 77, "rub": 77, "pgd-linf": 7}
    assert frame["seconds"].to_dict() == {"nominal": 1.0, "rub": 10.0, "pgd-linf": 0.1}
    assert frame["compared"].to_dict() == {"nominal": True, "rub": True, "pgd-linf": False}
    assert frame["efficient"].to_dict() == {"nominal": True, "rub": True, "pgd-linf": False}


def test_costs_are_means_over_the_data_sets_that_all_share() -> None:
    frame = pareto.build(
        trained(
            ("iris", "nominal", 4, 1.0, 0.5),
            ("iris", "rub", 4, 2.0, 0.9),
            ("mice", "rub", 4, 900.0, 0.9),
            ("mice", "nominal", 9, 800.0, 0.5),
        )
    ).set_index("defense")
    assert frame["seconds"].to_dict() == {"nominal": 1.0, "rub": 2.0}


def test_defenses_without_a_common_size_are_not_compared(tmp_path: Path) -> None:
    records = trained(("iris", "nominal", 7, 1.0, 0.5), ("mice", "nominal", 7, 1.0, 0.5),
                      ("iris", "rub", 77, 2.0, 0.9), ("mice", "rub", 77, 2.0, 0.9))  # fmt: skip
    frame = pareto.build(records).set_index("defense")
    assert frame["compared"].sum() == 1
    assert frame["pack_size"].to_dict() == {"nominal": 7, "rub": 77}
    draw_figure("pareto", pareto.build(records), tmp_path)


def test_figure_of_costs_states_the_size_of_the_packs() -> None:
    records = trained(("iris", "nominal", 77, 1.0, 0.5), ("iris", "rub", 77, 2.0, 0.9),
                      ("iris", "pgd-linf", 7, 2.0, 0.9))  # fmt: skip
    canvas = pareto.draw(pareto.build(records))
    labels = [text.get_text() for text in canvas.legends[0].get_texts()]
    assert [text for text in labels if "packs of 7)" in text] == [r"PGD-$L_{\infty}$ (packs of 7)"]
    assert canvas.axes[1].get_xlabel() == "seconds per network, packs of 77"


@pytest.mark.parametrize("seconds", [0.0, float("inf"), -1.0])
def test_times_that_are_none_cost_nothing_and_stay_out(seconds: float) -> None:
    frame = pareto.build(
        trained(("iris", "nominal", 4, seconds, 0.5), ("iris", "rub", 4, 2.0, 0.9))
    )
    assert frame["defense"].to_list() == ["rub"]


def test_points_of_unknown_cost_are_not_efficient() -> None:
    nan = float("nan")
    found = efficient(np.array([nan, 1.0, 1.0]), np.array([0.5, nan, 0.2]))
    assert found.tolist() == [False, False, True]
