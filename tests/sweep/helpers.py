"""Small configurations and made-up facts that the tests of the sweep share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sweep import datasets
from sweep.config.schema import (
    Data,
    Evaluation,
    Grid,
    Packing,
    Paths,
    SweepConfig,
    Tracking,
    Training,
    data_options,
)
from sweep.cost.calibration import Rates
from sweep.datasets import DatasetInfo
from sweep.datasets.catalog import catalog
from sweep.driver.plan import make_plan, make_tasks
from sweep.grid.expand import Infos, expand
from sweep.grid.packing import Pack
from sweep.grid.trial import Trial
from sweep.pack.run import Job


def config(results: Path = Path("results"), **changes: object) -> SweepConfig:
    """A sweep of four quick trials on iris: two defenses, two learning rates."""
    small = SweepConfig(
        name="small",
        grid=Grid(
            dataset=["iris"],
            network=["mlp-1x8"],
            defense=["nominal", "arub-linf"],
            grid_radius=[0.1],
            learning_rate=[1e-2, 1e-3],
            batch_size=[16],
        ),
        training=Training(steps=3, curve_every=2),
        evaluation=Evaluation(
            attacks=["fgsm-linf", "fgm-l1"], attack_grid_radii=[0.0, 0.1, 0.5], max_samples=10
        ),
        data=Data(source="bundled"),
        packing=Packing(max_trials=77),
        tracking=Tracking(enabled=False, uri=f"sqlite:///{results.parent / 'mlflow.db'}"),
        paths=Paths(results=str(results)),
    )
    return replace(small, **changes)


def info(name: str = "iris", num_features: int = 4, **changes: object) -> DatasetInfo:
    """Made-up facts of a data set."""
    facts = DatasetInfo(
        name=name,
        source="made-up",
        hash=f"hash-of-{name}",
        num_features=num_features,
        num_classes=3,
        num_train=90,
        num_validation=30,
        num_test=30,
        input_shape=(num_features,),
        leaky=False,
        scalings=("standardized", "unit"),
    )
    return replace(facts, **changes)


def infos(small: SweepConfig, num_features: int = 4) -> Infos:
    """Made-up facts of every data set of a configuration."""
    return {
        (name, seed): _image_info(name) if _is_vision(name) else info(name, num_features)
        for name in small.grid.dataset
        for seed in small.grid.split_seed
    }


def _is_vision(name: str) -> bool:
    return name in catalog() and catalog()[name].is_vision


def _image_info(name: str) -> DatasetInfo:
    return info(name, num_features=16, input_shape=(4, 4, 1))


def trials(**changes: object) -> list[Trial]:
    """The trials of the small sweep, on made-up data."""
    small = config(**changes)
    return expand(small, infos(small))


def jobs(small: SweepConfig) -> list[Job]:
    """The small sweep's packs, ready to run."""
    plan = make_plan([small])
    return [task.job for task in make_tasks(plan, Rates(), git_commit="test", device="cpu")]


def one_job(small: SweepConfig, defense: str = "arub-linf") -> Job:
    """The pack of one defense."""
    return next(job for job in jobs(small) if job.pack.first.defense == defense)


def dataset(small: SweepConfig) -> datasets.Dataset:
    """The small sweep's data."""
    return datasets.load(small.grid.dataset[0], "standardized", data_options(small), 0)


def pack_of(*chosen: Trial) -> Pack:
    """A pack of these trials."""
    return Pack(tuple(chosen))
