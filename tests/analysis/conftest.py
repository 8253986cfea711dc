"""Made-up records shared by the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

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
