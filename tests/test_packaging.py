"""What `pip install .` gives: the wheel's files, and a sweep run from it in an empty folder."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from robust_sweep import __version__

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("robust", "sweep", "analysis", "robust_sweep")
LEFT_BEHIND = (".*", "build", "dist", "*.egg-info", "results", "outputs", "mlruns", "mlflow.db*")
SWEEP = (
    "+experiment=quickstart",
    "name=two",
    "grid.dataset=[iris]",
    "grid.network=[mlp-1x16]",
    "grid.defense=[nominal,arub-linf]",
    "grid.grid_radius=[0.1]",
    "grid.learning_rate=[1e-2]",
    "training.steps=20",
    "evaluation.attacks=[fgsm-linf]",
    "evaluation.attack_grid_radii=[0,0.1]",
    "evaluation.max_samples=20",
)


def copy_checkout(target: Path) -> None:
    """Copy the checkout without what commands have left in its top folder."""
    for path in ROOT.iterdir():
        if any(fnmatch.fnmatch(path.name, pattern) for pattern in LEFT_BEHIND):
            continue
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, target / path.name, ignore=ignored)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def run(
    command: Sequence[str | Path], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with nothing of the checkout on Python's path."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the checkout, in which nothing of an earlier build is left."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    copy_checkout(source)
    build = (
        "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"
    )
    done = run([sys.executable, "-c", build, folder], source)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The paths inside the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_every_module(names: set[str]) -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert path.relative_to(ROOT).as_posix() in names


def test_wheel_holds_the_configuration(names: set[str]) -> None:
    of_checkout = {p.relative_to(ROOT).as_posix() for p in (ROOT / "conf").rglob("*.yaml")}
    assert len(of_checkout) > 50
    assert {f"sweep/{name}" for name in of_checkout} == {n for n in names if n.endswith(".yaml")}


def test_wheel_holds_what_analysis_reads(names: set[str]) -> None:
    for pattern in ("paper/*.csv", "report/*.css", "report/*.js", "report/*.json"):
        found = {p.relative_to(ROOT).as_posix() for p in (ROOT / "analysis").glob(pattern)}
        assert found
        assert found <= names


def test_wheel_takes_no_common_name_but_its_packages(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_wheel_carries_its_licence(names: set[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_source_distribution_builds_the_same_wheel(
    names: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("sdist")
    copy_checkout(folder / "source")
    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    done = run([sys.executable, "-c", build], folder / "source")
    assert done.returncode == 0, done.stderr
    (packed,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(packed, folder / "unpacked", filter="data")
    (source,) = (folder / "unpacked").iterdir()
    build = "from setuptools import build_meta; build_meta.build_wheel('../..')"
    done = run([sys.executable, "-c", build], source)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        assert set(archive.namelist()) == names


def environment(folder: Path) -> Path:
    """Make an environment without the project; return the folder of its commands.

    It sees the libraries of the environment that runs the tests through a .pth file, which comes
    after its own packages, so that nothing is downloaded.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", variables))
    shared = [path for path in sys.path if Path(path).name == "site-packages"]
    (packages / "zz_shared.pth").write_text("\n".join(shared))
    return Path(sysconfig.get_path("scripts", "venv", variables))


def install(commands: Path, *what: str | Path) -> None:
    """Install the project in an environment, and nothing else."""
    offline = ("--no-deps", "--no-index", "--ignore-installed", "--no-build-isolation")
    done = run([commands / "python", "-m", "pip", "install", *offline, *what], commands)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with the wheel in it."""
    commands = environment(tmp_path_factory.mktemp("environment"))
    install(commands, wheel)
    return commands


@pytest.mark.parametrize("script", ["sweep/run.py", "sweep/strong.py", "analysis/make_tables.py"])
def test_script_of_a_checkout_runs_where_nothing_is_installed(
    script: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    commands = environment(tmp_path_factory.mktemp("bare"))
    folder = tmp_path_factory.mktemp("elsewhere")
    done = run([commands / "python", ROOT / script], folder)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert f"`python {ROOT / 'sweep' / 'run.py'} +experiment=quickstart`" in done.stderr


def test_editable_install_reads_the_configuration_of_its_checkout(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path / "source"
    copy_checkout(source)
    commands = environment(tmp_path / "environment")
    install(commands, "--editable", source)
    (source / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\n")
    done = run([commands / "robust-sweep", "plan"], tmp_path_factory.mktemp("elsewhere"))
    assert done.returncode == 2
    assert "mine" in done.stderr
    assert "`robust-sweep run +experiment=quickstart`" in done.stderr


def test_installed_packages_are_not_those_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = f"import {', '.join(PACKAGES)}; print(*(p.__file__ for p in ({', '.join(PACKAGES)})))"
    done = run([installed / "python", "-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(ROOT) not in done.stdout


def test_installed_project_records_its_release_and_no_strangers_commit(installed: Path) -> None:
    folder = installed.parent  # as where somebody's project holds an environment
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    for arguments in (["init"], ["commit", "--allow-empty", "--message", "theirs"]):
        done = run(["git", *author, *arguments], folder)
        assert done.returncode == 0, done.stderr
    code = "from sweep.results.provenance import git_commit; print(git_commit())"
    done = run([installed / "python", "-c", code], folder)
    assert done.stdout == f"release-{__version__}\n", done.stderr


def test_installed_command_finds_its_catalog_and_experiments(
    installed: Path, tmp_path: Path
) -> None:
    command = installed / "robust-sweep"
    done = run([command, "data", "verify", "iris", "source=bundled"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "iris" in done.stdout
    none = run([command, "plan"], tmp_path)
    assert none.returncode == 2
    assert "robust-sweep run +experiment=quickstart" in none.stderr
    assert "uci_full" in none.stderr


@pytest.mark.slow
def test_installed_wheel_trains_two_networks_and_builds_their_tables(
    installed: Path, tmp_path: Path
) -> None:
    command = installed / "robust-sweep"
    planned = run([command, "plan", *SWEEP], tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert not (tmp_path / "results" / "two" / "records").exists()
    done = run([command, "run", *SWEEP], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "robust-sweep tables experiment=two" in done.stdout
    assert list((tmp_path / "results" / "two" / "records").glob("*.parquet"))
    assert (tmp_path / "mlflow.db").is_file()
    tables = run([command, "tables", "experiment=two"], tmp_path)
    assert tables.returncode == 0, tables.stderr
    assert (tmp_path / "results" / "two" / "tables" / "report.html").is_file()
    count = (
        "import polars as pl; r = pl.read_parquet('results/two/records/*.parquet');"
        "print(r['trial_id'].n_unique(), *r['status'].unique(), *r['git_commit'].unique())"
    )
    read = run([installed / "python", "-c", count], tmp_path)
    assert read.stdout.split()[:2] == ["2", "complete"], read.stderr
    assert read.stdout.split()[2] == f"release-{__version__}"
