"""Real sweeps, killed at random moments: nothing is lost and nothing is there twice."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.results import store
from tests.robust_sweep.test_run import run_here
from tests.sweep import chaos

KILLS = 20
SWEEP = ["training.steps=200", "grid.seed=[0,1,2,3,4]", "packing.max_trials=1"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Counter[chaos.Value]:
    """What the sweep records when nobody disturbs it."""
    results = tmp_path_factory.mktemp("undisturbed") / "results"
    run_here(chaos.arguments(results, *SWEEP))
    return chaos.recorded(results)


@pytest.mark.parametrize("seed", [0])
def test_sweep_survives_twenty_kills(
    tmp_path: Path, undisturbed: Counter[chaos.Value], seed: int
) -> None:
    results, random_moments = tmp_path / "results", random.Random(seed)
    argv = chaos.arguments(results, *SWEEP)
    kills: Counter[str] = Counter()
    while sum(kills.values()) < KILLS:
        driver = chaos.start(argv)
        for kind in random_moments.choices(["driver", "worker", "node"], k=3):
            try:
                driver.wait(timeout=random_moments.uniform(2, 15))
            except subprocess.TimeoutExpired:
                pid = chaos.await_victim(driver, kind)
                if pid is not None:
                    chaos.kill(pid)
                    kills[kind] += 1
        chaos.kill(driver.pid)
        driver.communicate()
        if len(store.finished(results)) == len({row[0] for row in undisturbed}):
            # Done before it was killed often enough: lose some records and go on.
            for path in store.Folder(results, "chaos").record_files()[::2]:
                path.unlink()
    code, output = chaos.run(argv, timeout=900)
    assert code == 0, output
    assert chaos.recorded(results) == undisturbed
    assert chaos.in_mlflow(results) == Counter({str(row[0]) for row in undisturbed})
    assert len(kills) == 3, kills


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_sweep_completes_after_the_disk_was_full(
    small_disk: Path, undisturbed: Counter[chaos.Value]
) -> None:
    results = small_disk / "results"
    argv = [*chaos.arguments(results, *SWEEP), "tracking.enabled=false"]
    filler = small_disk / "filler"
    driver = chaos.start(argv)
    chaos.wait_for(lambda: bool(chaos.recorded(results)))
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"0" * 4096)
        except OSError:
            pass
    output, _ = driver.communicate(timeout=300)
    assert driver.returncode == 2
    assert "No space left" in output
    filler.unlink()
    code, output = chaos.run(argv, timeout=900)
    assert code == 0, output
    assert chaos.recorded(results) == undisturbed


def test_trials_reach_mlflow_after_its_server_was_stopped(
    tmp_path: Path, undisturbed: Counter[chaos.Value]
) -> None:
    results, port = tmp_path / "results", chaos.free_port()
    uri = f"http://127.0.0.1:{port}"
    server = chaos.start_mlflow(tmp_path, port)
    argv = [*chaos.arguments(results, *SWEEP), f"tracking.uri={uri}"]
    driver = chaos.start(argv)
    chaos.wait_for(lambda: bool(chaos.recorded(results)))
    chaos.stop(server)
    output, _ = driver.communicate(timeout=900)
    assert driver.returncode == 0, output
    assert "MLflow" in output
    assert chaos.recorded(results) == undisturbed
    server = chaos.start_mlflow(tmp_path, port)
    try:
        time.sleep(1)
        chaos.sync(results, uri)
        assert chaos.in_mlflow(results, uri) == Counter({str(row[0]) for row in undisturbed})
    finally:
        chaos.stop(server)
