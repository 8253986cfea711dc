"""The plan says what the weights of missing trials take on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from robust import networks
from sweep.config.schema import Keep
from sweep.cost.calibration import Rates
from sweep.driver import dry_run
from sweep.driver.plan import make_plan, network_bytes
from sweep.pack.run import run_pack
from tests.sweep.helpers import config, jobs


def test_size_is_that_of_the_parameters(tmp_path: Path) -> None:
    small = config(tmp_path)
    grid = replace(small.grid, network=["mlp-1x8", "mlp-2x5"], dataset=["iris", "wine"])
    (part,) = make_plan([replace(small, grid=grid)]).parts
    wanted = 0
    for trial in part.trials:
        info = part.info(trial)
        net = networks.build(trial.network, info.num_features, info.num_classes, 1, 0)
        wanted += sum(4 * parameter.numel() for parameter in net.parameters())
    assert network_bytes(part, part.trials) == wanted
    assert network_bytes(part, ()) == 0


def test_files_are_hardly_larger_than_their_parameters(tmp_path: Path) -> None:
    small = config(tmp_path)
    small = replace(small, grid=replace(small.grid, network=["mlp-3x200"]))
    (part,) = make_plan([small]).parts
    for job in jobs(small):
        run_pack(job)
    written = sum(path.stat().st_size for path in (tmp_path / "small" / "networks").iterdir())
    planned = network_bytes(part, part.trials)
    assert planned < written < 1.01 * planned


@pytest.mark.parametrize("choice", ["all", "selected", "none"])
def test_dry_run_says_size_and_choice(
    choice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = config(tmp_path, keep=Keep(choice))
    plan = make_plan([replace(small, grid=replace(small.grid, network=["mlp-3x200"]))])
    dry_run.show(plan, [], Rates(), 1)
    said = capsys.readouterr().out
    assert f"(keep.networks={choice})" in said
    assert ("networks about 0.0 MB" in said) == (choice == "none")
    assert ("of which the selected ones stay" in said) == (choice == "selected")
