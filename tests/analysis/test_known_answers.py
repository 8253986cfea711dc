"""Tables worked out by hand from a few records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.colors import to_hex

from analysis.artifact import tables
from analysis.build import write_table
from analysis.figures import bounds, improvement
from analysis.figures import certified as certified_figure
from analysis.figures.differences import groups
from analysis.figures.improvement import histogram
from analysis.figures.pareto import efficient
from analysis.names import style
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
    strong,
    table01,
    throughput,
)
from sweep.results.schema import CURVE_COLUMNS, SCHEMA_VERSION
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
    found = tables()["accuracy"].build(records)
    assert found.set_index("dataset")["percent"].to_dict() == {name: 80.0, "iris": 70.0}
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
    assert "COAP" not in markdown  # it was not run
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


def test_minimum_over_two_attacks_with_one_missing_is_missing() -> None:
    records = records_of(
        mnist("a", 0.9, 0.8, attack="pgd-l2"),
        mnist("a", 0.9, None, attack="fgm-l2"),
        mnist("b", 0.9, 0.7, attack="pgd-l2", defense="rub"),
        mnist("b", 0.9, 0.6, attack="fgm-l2", defense="rub"),
        mnist("c", 0.9, 0.9, attack="pgd-l2", defense="pgd-linf"),
    )
    row = one(robust.robust_accuracy(records, ["mnist"]))
    assert (row["defense"], row["percent"], row["best"]) == ("rub", 60.0, True)


def test_attack_that_nobody_ran_takes_no_part_in_the_minimum() -> None:
    records = records_of(
        mnist("a", 0.9, 0.8, attack="pgd-l2"),
        mnist("a", 0.9, 0.7, attack="pgd-linf"),
        mnist("a", 0.9, 0.6, attack="fgsm-linf"),
    )
    frame = robust.robust_accuracy(records, ["mnist"]).set_index("attack_norm")
    assert frame["percent"].to_dict() == {"l2": 80.0, "linf": 60.0}
    assert frame["attacks"].to_dict() == {"l2": "pgd-l2", "linf": "fgsm-linf+pgd-linf"}


def test_improvement_of_nothing_is_no_improvement() -> None:
    tests = {"iris": (0.7, 0.7), "wine": (0.8, 0.7), "glass": (0.6, 0.7), "ecoli": (None, 0.7)}
    rows = [
        rows_of(
            f"{dataset}-{defense}", 0.5, test, dataset=dataset, defense=defense, attack="pgd-l2",
            status="diverged" if test is None else "complete",
        )
        for dataset, pair in tests.items()
        for defense, test in zip(("rub", "pgd-linf"), pair, strict=True)
    ]  # fmt: skip
    frame = improvement.improvements(records_of(*rows), "rub", "pgd-linf", "pgd-l2")
    found = dict(zip(frame["dataset"], frame["improvement"], strict=True))
    assert pd.isna(found.pop("ecoli"))
    assert found == {"iris": 0.0, "wine": 10.0, "glass": -10.0}
    figure = improvement._draw(frame, (0.01, 0.1, 1.0), "rub", "pgd-linf")
    (axes,) = figure.axes  # of the radius that was run
    assert "3 of 4 data sets" in axes.get_title()
    bars = {
        (bar.get_x(), bar.get_height()): to_hex(bar.get_facecolor()).upper()
        for bar in axes.patches
        if bar.get_height()
    }
    ours = style("rub").color.upper()
    # The bin from 0 holds nothing but the set without a difference, drawn over in white.
    assert bars == {(-10.0, 1): "#BBBBBB", (0.0, 1): "#FFFFFF", (10.0, 1): ours}


def test_clean_accuracy_counts_the_sets_where_nothing_finished() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.90, attack_grid_radius=0.0, defense="rub"),
        rows_of("b", 0.5, 0.80, attack_grid_radius=0.0),
        rows_of("c", None, None, attack_grid_radius=0.0, defense="rub", dataset="wine",
                status="diverged"),
        rows_of("d", 0.5, 0.70, attack_grid_radius=0.0, dataset="wine"),
    )  # fmt: skip
    (block,) = clean.layout(clean.build(records))
    assert block.rows[0].cells[0].text == "1 of 2"
    assert block.rows[0].cells[1].text == "+10.00"


def test_masking_compares_attacks_on_each_network_that_ties() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.9, attack="pgd-linf"),
        rows_of("b", 0.5, 0.5, attack="pgd-linf", learning_rate=1e-2),
        rows_of("a", 0.5, 0.9, attack="fgsm-linf"),
        rows_of("b", 0.5, 0.5, attack="fgsm-linf", learning_rate=1e-2),
    )
    assert one(masking.build(records))["largest_lead"] == 0


@pytest.mark.parametrize("attacked", [0.85, 0.95])
def test_strong_attack_stands_beside_the_one_network_it_was_run_on(attacked: float) -> None:
    records = records_of(
        rows_of("a", 0.5, 0.9, attack="pgd-linf"),
        rows_of("b", 0.5, 0.5, attack="pgd-linf", learning_rate=1e-2),
        rows_of("a", 0.5, 0.95, attack="fgsm-linf"),
        rows_of("b", 0.5, 0.95, attack="fgsm-linf", learning_rate=1e-2),
        rows_of("a", None, attacked, attack="autoattack-linf", attack_norm="linf")[1:],
    )
    row = one(strong.build(records))
    assert (row["paper_percent"], row["strong_percent"]) == (90.0, 100 * attacked)


def test_certified_curve_is_the_mean_of_the_networks_that_tie() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.9, attack="certified-l1"),
        rows_of("b", 0.5, 0.5, attack="certified-l1", learning_rate=1e-2),
        rows_of("c", 0.4, 1.0, attack="certified-l1", learning_rate=1e-1),
    )
    assert one(certified_figure.build(records))["certified"] == 0.7


def test_bounds_are_of_the_networks_that_tie() -> None:
    records = records_of(
        rows_of("a", 0.5, 0.6, attack="certified-l1"),
        rows_of("b", 0.5, 0.4, attack="certified-l1", learning_rate=1e-2),
        rows_of("a", 0.5, 0.9, attack="pgd-l1"),
        rows_of("b", 0.5, 0.5, attack="pgd-l1", learning_rate=1e-2),
    )
    row = one(bounds.build(records))
    assert (row["certified"], row["attacked"], row["repetitions"]) == (0.5, 0.7, 1)


def test_marks_know_single_precision_from_a_difference() -> None:
    single = float(np.float32(0.9))
    records = records_of(
        mnist("a", 0.5, 0.9, defense="rub"), mnist("b", 0.5, single, defense="nominal")
    )
    assert robust.robust_accuracy(records, ["mnist"])["best"].tolist() == [True, True]


def test_attack_and_defense_of_the_users_own_appear(tmp_path) -> None:  # type: ignore[no-untyped-def]
    records = records_of(
        rows_of("a", 0.9, 0.8, attack="pgd-linf", defense="my_own"),
        rows_of("a", 0.9, 0.7, attack="square-linf", defense="my_own"),
        rows_of("b", 0.9, 0.6, attack="square-linf"),
    )
    write_table(tables()["accuracy"], records, tmp_path)
    text = (tmp_path / "accuracy.md").read_text()
    assert "iris, square-linf" in text
    assert "| my_own | **70.00** |" in text
    frame = tables()["accuracy"].build(records)
    assert dict(zip(frame["attacks"], frame["percent"], strict=True))["pgd-linf"] == 80.0
