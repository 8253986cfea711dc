"""The topology of docker/compose.yaml without containers: PostgreSQL, an MLflow server, two nodes.

Skipped where PostgreSQL's server is not installed (`apt-get install postgresql`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweep.cluster import token
from tests.sweep import chaos

SWEEP = ["training.steps=200", "grid.seed=[0,1]", "packing.max_trials=1", "ray=cluster"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def postgres_program(name: str) -> str:
    """A program of PostgreSQL's server, which Debian keeps off the path."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), None
    )
    if found is None:
        pytest.skip(f"PostgreSQL's server is not installed: no {name}")
    return found


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of an empty database that listens on the loopback address alone."""
    pytest.importorskip("psycopg2", reason="needs the extra: pip install .[postgres]")
    initdb, server = postgres_program("initdb"), postgres_program("postgres")
    folder, port = Path(tempfile.mkdtemp(prefix="sweep-pg-")), chaos.free_port()
    # PostgreSQL refuses to run as root.
    owner = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    if owner:
        shutil.chown(folder, **owner)
    data = ["-D", str(folder / "data")]
    create = [initdb, *data, "--username=mlflow", "--auth=trust", "--no-sync"]
    subprocess.run(create, check=True, capture_output=True, cwd=folder, **owner)
    listen = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [server, *data, *listen], stdout=log, stderr=log, cwd=folder, **owner
        )
    address = f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
    chaos.wait_for(lambda: _connects(address))
    yield address
    process.terminate()
    process.wait(timeout=30)
    shutil.rmtree(folder)


def _connects(address: str) -> bool:
    import psycopg2

    try:
        psycopg2.connect(address.replace("+psycopg2", "")).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.fixture
def server(tmp_path: Path, postgres: str) -> Iterator[str]:
    """The address of an MLflow server that keeps its runs in PostgreSQL."""
    port = chaos.free_port()
    process = chaos.start_mlflow(tmp_path, port, backend=postgres)
    yield f"http://127.0.0.1:{port}"
    chaos.stop(process)


def test_cluster_sweep_survives_a_killed_node_with_every_trial_once(
    tmp_path: Path, server: str
) -> None:
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        results = tmp_path / "results"
        argv = chaos.arguments(results, *SWEEP, f"ray.address={cluster.address}")
        argv.append(f"tracking.uri={server}")
        started = time.monotonic()
        driver = chaos.start(argv)
        chaos.wait_for(lambda: bool(chaos.recorded(results)) or driver.poll() is not None, 240)
        cluster.remove_node(second, allow_graceful=False)
        killed = time.monotonic()
        output, _ = driver.communicate(timeout=400)
        ended = time.monotonic()
    finally:
        cluster.shutdown()
    print(f"first record and kill after {killed - started:.1f} s, end after {ended - started:.1f}")
    assert driver.returncode == 0, output
    rows = chaos.recorded(results)
    trials = {str(row[0]) for row in rows}
    assert len(trials) == 12
    assert set(rows.values()) == {1}
    assert chaos.in_mlflow(results, server) == Counter(trials)


@contextlib.contextmanager
def ray_head(folder: Path, **environment: str) -> Iterator[str]:
    """The address of a Ray that `ray start --head` has brought up, as the README says."""
    port = chaos.free_port()
    program = Path(sys.executable).with_name("ray")
    command = [str(program), "start", "--head", "--block", f"--port={port}", "--num-cpus=1"]
    command += ["--node-ip-address=127.0.0.1", "--include-dashboard=false", "--num-gpus=0"]
    # A socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="sweep-ray-") as scratch:
        with (folder / "head.log").open("wb") as log:
            head = subprocess.Popen(
                [*command, f"--temp-dir={scratch}"],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **environment},
            )
        try:
            chaos.wait_for(lambda: "Ray runtime started" in (folder / "head.log").read_text())
            yield f"127.0.0.1:{port}"
        finally:
            below = chaos.descendants(head.pid)
            for pid in (head.pid, *below):
                chaos.kill(pid)
            head.wait()


def one_error(output: str) -> str:
    """The only line of an output that is an error, where nothing but the opening is beside it."""
    lines = [line for line in output.splitlines() if not line.startswith("chaos: ")]
    assert len(lines) == 1, output
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and nothing about tokens in the environment."""
    for name in (token.MODE, token.TOKEN, "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


QUICK = ["ray=cluster", "grid.defense=[nominal]", "tracking.enabled=false"]


def test_readmes_cluster_recipe_works_after_a_local_sweep(tmp_path: Path, home: Path) -> None:
    local = chaos.arguments(tmp_path / "local", *QUICK, "ray=local")
    code, output = chaos.run(local, HOME=str(home))
    assert code == 0, output
    assert not (home / ".ray").exists()
    with ray_head(tmp_path, HOME=str(home)) as address:
        argv = chaos.arguments(tmp_path / "results", *QUICK, f"ray.address={address}")
        code, output = chaos.run(argv, HOME=str(home))
    assert code == 0, output
    assert "Token" not in output
    assert len(chaos.recorded(tmp_path / "results")) > 0


def test_cluster_with_a_token_is_joined_with_it_and_refused_without(
    tmp_path: Path, home: Path
) -> None:
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with ray_head(tmp_path, HOME=str(home)) as address:
        argv = chaos.arguments(tmp_path / "results", *QUICK, f"ray.address={address}")
        for environment in (
            {"HOME": str(stranger)},
            {"HOME": str(home), "RAY_AUTH_TOKEN": "another"},
            {"HOME": str(home), "RAY_AUTH_MODE": "disabled"},
        ):
            code, output = chaos.run(argv, **environment)
            assert code == 2, output
            assert "the cluster asks for a token" in one_error(output)
        code, output = chaos.run(argv, HOME=str(home))
    assert code == 0, output


def test_cluster_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    address = f"127.0.0.1:{chaos.free_port()}"
    argv = chaos.arguments(tmp_path / "results", *SWEEP, f"ray.address={address}")
    code, output = chaos.run([*argv, "tracking.enabled=false"])
    assert code == 2
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"ray.address={address}: no Ray cluster answers there" in errors[0]
    assert "Traceback" not in output


def test_gpus_that_no_node_has_are_one_line(tmp_path: Path) -> None:
    argv = chaos.arguments(tmp_path / "results", "ray.num_gpus=0", "ray.gpus_per_pack=1")
    code, output = chaos.run([*argv, "tracking.enabled=false"])
    assert code == 2
    assert "error: ray.gpus_per_pack=1" in output
    assert "no node has more than 0 GPU" in output
    assert "Traceback" not in output


def test_gpu_that_only_ray_sees_is_one_line(tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU here")
    argv = chaos.arguments(tmp_path / "results", "ray.num_gpus=1", "tracking.enabled=false")
    code, output = chaos.run(argv)
    assert code == 2
    error = one_error(output)
    assert "that torch cannot use" in error
    assert "ray.gpus_per_pack=0" in error
    assert not chaos.recorded(tmp_path / "results")


@pytest.mark.parametrize(
    ("mark", "name"), [("gcs_server", "its head"), ("raylet/raylet", "its node")]
)
def test_sweep_whose_ray_is_killed_ends_soon_in_one_line_and_goes_on_later(
    mark: str, name: str, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    argv = chaos.arguments(results, "training.steps=500", "packing.max_trials=1")
    argv += ["tracking.enabled=false", "ray.num_cpus=1"]
    driver = chaos.start(argv)
    chaos.wait_for(lambda: bool(chaos.recorded(results)) or driver.poll() is not None)
    before = chaos.recorded(results)
    below = chaos.descendants(driver.pid)
    worker = next(pid for pid, line in below.items() if "Trainable" in line)
    os.kill(worker, signal.SIGSTOP)  # or the sweep may be complete before anybody looks
    chaos.kill(next(pid for pid, line in below.items() if mark in line))
    output, _ = driver.communicate(timeout=60)  # Ray itself leaves the sweep hanging for longer
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGCONT)
    assert driver.returncode == 2, output
    last = output.rstrip().splitlines()[-1]
    assert last.startswith(f"error: Ray is gone: {name}")
    assert "Traceback" not in output
    assert "failed to" not in output.lower()
    assert chaos.recorded(results) >= before
    chaos.wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below), 30)
    code, output = chaos.run(argv)
    assert code == 0, output
    rows = chaos.recorded(results)
    assert len({row[0] for row in rows}) == 6
    assert set(rows.values()) == {1}
