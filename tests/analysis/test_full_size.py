"""The paper's 45,472 trials, made up: everything is built in the time and memory promised."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.analysis.simulated import simulate

SCRIPT = Path(__file__).parents[2] / "analysis" / "make_tables.py"
CORES = 2
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("full")
    simulate(folder, "+experiment=paper_full")
    rows = pl.scan_parquet(folder / "paper_full" / "records" / "*.parquet")
    trials, size = rows.select(pl.col("trial_id").n_unique(), pl.len()).collect().row(0)
    assert trials == 45472
    assert size > 11_000_000
    return folder


def processor_seconds(results: Path, out: Path, *more: str) -> float:
    """Run the analysis; return its processor time, its drawing process included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, str(SCRIPT), f"results={results}", f"out={out}"]
    subprocess.run([*command, "allow_simulated=true", *more], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Processor time rather than time on the clock, so that a busy machine does not fail the test.
def test_everything_takes_twenty_seconds_of_two_cores(results: Path, tmp_path: Path) -> None:
    assert processor_seconds(results, tmp_path) < 20 * CORES
    assert (tmp_path / "report.html").is_file()
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < 4e9


def test_one_table_takes_five_seconds_of_two_cores(results: Path, tmp_path: Path) -> None:
    assert processor_seconds(results, tmp_path, "only=table3") < 5 * CORES
    assert {path.name for path in tmp_path.iterdir()} == {
        f"table3.{suffix}" for suffix in ("csv", "md", "tex")
    }
