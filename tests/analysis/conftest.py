"""Made-up records shared by the tests of this folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from analysis.artifact import figures, tables
from analysis.build import Built, build
from analysis.load import load
from analysis.locate import locate
from analysis.records import Records
from tests.analysis.simulated import simulate_small


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with the small made-up experiment."""
    folder = tmp_path_factory.mktemp("results")
    simulate_small(folder)
    return folder


def add_strong_and_leaky(experiment: Path) -> None:
    """Add AutoAttack's rows, as low as one step's, and the same trials on leaky data."""
    files = sorted((experiment / "records").iterdir())
    rows = pl.concat([pl.read_parquet(file) for file in files])
    picked = (pl.col("split") == "test") & (pl.col("attack_grid_radius") == 0.1)
    attacks = ["fgm-l1", "fgm-l2", "fgsm-linf"]
    strong = rows.filter(picked & pl.col("attack").is_in(attacks)).with_columns(
        attack=pl.lit("autoattack-") + pl.col("attack_norm")
    )
    (experiment / "strong").mkdir()
    strong.write_parquet(experiment / "strong" / "all.parquet")
    changed = {name: pl.lit("leaky-") + pl.col(name) for name in ("trial_id", "dataset_hash")}
    uci = rows.filter(pl.col("dataset") != "MNIST")
    leaky = uci.with_columns(leaky=pl.lit(True), **changed)
    leaky.write_parquet(experiment / "records" / "leaky.parquet")


@pytest.fixture(scope="session")
def made_up(simulated: Path, tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Return the small made-up experiment with strong attacks and leaky trials, loaded."""
    results = tmp_path_factory.mktemp("more") / "results"
    shutil.copytree(simulated, results)
    (experiment,) = results.iterdir()
    add_strong_and_leaky(experiment)
    return load(locate((), "", results), allow_simulated=True)


@pytest.fixture(scope="session")
def built(made_up: Records, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return everything there is, built from the small made-up experiment."""
    out = tmp_path_factory.mktemp("tables")
    return build([*tables().values()], [*figures().values()], made_up, out)
