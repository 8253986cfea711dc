"""The benchmark's account of the paper's grids is that of their configurations."""

from __future__ import annotations

import pytest

from benchmarks import grid_cost
from sweep.config import compose


@pytest.mark.parametrize("experiment", sorted(grid_cost.EVALUATED))
def test_benchmark_counts_what_the_configuration_says(experiment: str) -> None:
    (config,) = compose.compose([f"+experiment={experiment}"])
    wanted = list(config.evaluation.attacks) + ["certified-l1"] * config.evaluation.certify
    evaluated = grid_cost.EVALUATED[experiment]
    assert sorted(evaluated.attacks) == sorted(wanted)
    assert evaluated.radii == len(config.evaluation.attack_grid_radii)
    cells = list(grid_cost.cells(experiment))
    assert {cell.steps for cell in cells} == {config.training.steps}
    assert {cell.batch for cell in cells} == set(config.grid.batch_size)
    assert {cell.network for cell in cells} == set(config.grid.network)
    assert {cell.defense for cell in cells} == set(config.grid.defense)
    trials = {"uci_full": 36_064, "vision_full": 6_552, "cnn_full": 2_856}
    assert sum(cell.trials for cell in cells) == trials[experiment]


def test_paper_full_is_all_of_them() -> None:
    assert sum(cell.trials for cell in grid_cost.cells(grid_cost.WHOLE)) == 45_472
