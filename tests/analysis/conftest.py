"""Made-up records shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.artifact import figures, tables
from analysis.build import Built, build
from analysis.load import load
from analysis.locate import locate
from analysis.records import Records
from analysis.simulate.__main__ import write


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder with the small made-up experiment."""
    folder = tmp_path_factory.mktemp("results")
    write(folder, "small")
    return folder


@pytest.fixture(scope="session")
def made_up(simulated: Path) -> Records:
    """Return the small made-up experiment, loaded."""
    return load(locate((), "", simulated), allow_simulated=True)


@pytest.fixture(scope="session")
def built(made_up: Records, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Return everything there is, built from the small made-up experiment."""
    out = tmp_path_factory.mktemp("tables")
    return build([*tables().values()], [*figures().values()], made_up, out)
