"""What training costs: rates and seconds are compared in packs of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.artifact import tables
from analysis.figure_files import draw_figure
from analysis.figures import pareto
from analysis.figures.pareto import efficient
from analysis.records import Records
from analysis.tables import throughput
from tests.analysis.made_records import records_of, rows_of


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


def test_hardware_beside_the_papers_rates_is_named_once() -> None:
    table = tables()["table2"]
    assert table.agree is not None
    records = speeds(("rub", 4, 100.0), ("nominal", 4, 500.0), ("pgd-linf", 4, 50.0))
    device = records.trials["device"][0]
    told = table.agree(table.build(records))
    assert told.remark == f"ours on {device}; the paper names none"


def test_without_larger_packs_only_single_networks_are_printed() -> None:
    shown = printed_speeds(speeds(("rub", 1, 9.0)))
    assert set(shown["RUB"]) == {"single: mean", "deviation", "data sets"}


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
    assert canvas.axes[0].get_xlabel() == "seconds per network, packs of 77"


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
