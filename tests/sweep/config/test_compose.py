from __future__ import annotations

import pytest

from sweep.config import compose
from sweep.config.compose import choices
from sweep.driver import driver
from tests.conftest import SHARED

QUICKSTART = "+experiment=quickstart"

MISTAKES = {
    "unknown experiment": (["+experiment=quickstrt"], ["quickstrt", "did you mean 'quickstart'"]),
    "no experiment": ([], ["+experiment=quickstart", "uci_full"]),
    "unknown key": ([QUICKSTART, "grid.lerning_rate=1"], ["grid.lerning_rate", "grid.seed"]),
    "unknown group": (["+experimnt=quickstart"], ["'experimnt'", "did you mean 'experiment'"]),
    "key without its section": ([QUICKSTART, "steps=1"], ["'steps'", "'training.steps'"]),
    "a section as a key": ([QUICKSTART, "grid=1"], ["'grid'", "grid.dataset"]),
    "unknown data set": ([QUICKSTART, "grid.dataset=[irs]"], ["grid.dataset", "irs", "wine"]),
    "unknown source": ([QUICKSTART, "data.source=webb"], ["data.source", "webb", "bundled"]),
    "unknown defense": ([QUICKSTART, "grid.defense=[rubb]"], ["grid.defense", "rubb", "arub-l1"]),
    "unknown network": ([QUICKSTART, "grid.network=[vgg]"], ["grid.network", "vgg", "mlp-3x200"]),
    "unknown attack": ([QUICKSTART, "evaluation.attacks=[cw]"], ["evaluation.attacks", "pgd-l1"]),
    "unknown loss": ([QUICKSTART, "training.loss=mse"], ["training.loss", "mse", "hinge"]),
    "some networks": ([QUICKSTART, "keep.networks=some"], ["keep.networks", "'some'", "selected"]),
    "unknown scaling": ([QUICKSTART, "grid.scaling=[x]"], ["grid.scaling", "'x'", "standardized"]),
    "unknown ray choice": ([QUICKSTART, "ray=moon"], ["ray=moon", "cluster", "local"]),
    "negative radius": (
        [QUICKSTART, "grid.grid_radius=[-0.1]"],
        ["grid_radius=-0.1", ">= 0"],
    ),
    "infinite radius": ([QUICKSTART, "grid.grid_radius=[inf]"], ["grid.grid_radius=inf", ">= 0"]),
    "rate of zero": ([QUICKSTART, "grid.learning_rate=[0]"], ["grid.learning_rate=0", "positive"]),
    "rate in words": ([QUICKSTART, "grid.learning_rate=[big]"], ["grid.learning_rate", "big"]),
    "steps in words": ([QUICKSTART, "training.steps=many"], ["training.steps", "many", "Integer"]),
    "steps of zero": ([QUICKSTART, "training.steps=0"], ["training.steps=0", ">= 1"]),
    "empty list": ([QUICKSTART, "grid.seed=[]"], ["grid.seed=[]", "at least one"]),
    "repeated value": ([QUICKSTART, "grid.seed=[1,1]"], ["grid.seed", "1", "once"]),
    "falling radii": (
        [QUICKSTART, "evaluation.attack_grid_radii=[0,1,0.5]"],
        ["evaluation.attack_grid_radii", "increasing"],
    ),
    "several values for one": ([QUICKSTART, "training.steps=1,2"], ["training.steps=1,2", "one"]),
    "no override": ([QUICKSTART, "grid"], ["'grid'", "key=value"]),
    "deletion": ([QUICKSTART, "~grid.seed"], ["~grid.seed", "cannot be deleted"]),
    "name of no folder": ([QUICKSTART, "name=../x"], ["name='../x'", "folder"]),
    "Hydra's folder": ([QUICKSTART, "hydra.run.dir=x"], ["hydra.run.dir=x", "paths.results"]),
    "Hydra's verbosity": ([QUICKSTART, "++hydra.verbose=true"], ["hydra.verbose", "logs"]),
    "Hydra's launcher": ([QUICKSTART, "hydra/launcher=basic"], ["hydra/launcher", "ray=local"]),
    "Hydra's sweeper": ([QUICKSTART, "hydra.sweeper.x=1"], ["hydra.sweeper", "the grid"]),
    "Hydra's other keys": ([QUICKSTART, "hydra.foo=1"], ["hydra.foo=1", "nothing"]),
    "cluster with sizes": ([QUICKSTART, "ray=cluster", "ray.num_cpus=2"], ["ray.num_cpus"]),
}


@pytest.mark.parametrize(("argv", "named"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_named_in_one_line(argv: list[str], named: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        compose.compose(argv)
    message = str(caught.value)
    assert "\n" not in message
    for part in named:
        assert part in message


def test_single_value_stands_for_a_list_of_one() -> None:
    (config,) = compose.compose([QUICKSTART, "grid.dataset=iris", "grid.seed=3"])
    assert config.grid.dataset == ["iris"]
    assert config.grid.seed == [3]


def test_overrides_replace_the_experiments_values() -> None:
    argv = [QUICKSTART, "grid.learning_rate=[1e-3]", "grid.dataset=[iris,wine]", "name=mine"]
    (config,) = compose.compose(argv)
    assert config.grid.learning_rate == [1e-3]
    assert config.grid.dataset == ["iris", "wine"]
    assert config.name == "mine"


def test_experiment_may_be_given_without_plus() -> None:
    assert compose.compose(["experiment=quickstart"]) == compose.compose([QUICKSTART])


def test_included_experiments_share_overrides_and_name() -> None:
    parts = compose.compose(["+experiment=speed", "training.steps=7"])
    assert [part.packing.max_trials for part in parts] == [1, 77]
    assert {part.name for part in parts} == {"speed"}
    assert {part.training.steps for part in parts} == {7}


def test_experiments_can_be_included_on_the_command_line() -> None:
    parts = compose.compose([QUICKSTART, "include=[speed_packed,quickstart]"])
    assert [part.packing.max_trials for part in parts] == [77, 77]
    assert [part.training.steps for part in parts] == [100, 200]
    assert {part.name for part in parts} == {"quickstart"}


def test_included_experiment_that_includes_others_is_named_with_them() -> None:
    with pytest.raises(ValueError, match="'speed' includes others.*speed_single, speed_packed"):
        compose.compose([QUICKSTART, "include=[speed]"])


def test_debug_shrinks_the_sweep_under_another_name() -> None:
    (config,) = compose.compose([QUICKSTART, "debug=true"])
    assert config.name == "quickstart_debug"
    assert len(config.grid.dataset) == 1
    assert config.training.steps <= 20


@pytest.mark.parametrize("name", choices("experiment"))
def test_every_experiment_dry_runs(
    name: str, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [f"+experiment={name}", "dry_run=true", f"paths.results={tmp_path}"]
    if name == "drs":  # its data are planned by reading them
        if not (SHARED / "data" / "drs").is_dir():
            pytest.skip("../shared is absent")
        argv.append(f"data.root={SHARED / 'data'}")
    driver.dry_run(compose.compose(argv))
    printed = capsys.readouterr().out
    assert f"{name}: " in printed
    assert "nothing was trained" in printed
