"""Whatever the project has several of, a single file that is dropped in adds one more."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = ROOT / "tests" / "plugins"
DROPPED = {
    "pairing.py": "robust/defenses",
    "noise.py": "robust/attacks",
    "funnel.py": "robust/networks",
    "rings.py": "sweep/datasets/sources",
    "counts.py": "analysis/tables",
    "shares.py": "analysis/figures",
}
CONTRACTS = (
    "tests/robust/defenses/test_defenses_contract.py",
    "tests/robust/attacks/test_attacks_contract.py",
    "tests/robust/networks/test_networks_contract.py",
    "tests/sweep/cost/test_cost.py",
    "tests/sweep/datasets/test_sources_contract.py",
    "tests/analysis/test_contracts.py",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the plug-ins in it."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("robust", "sweep", "analysis", "robust_sweep", "conf", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    for name, folder in DROPPED.items():
        shutil.copy(PLUGINS / name, root / folder)
    (root / "own").mkdir()
    rows = [f"{i % 7},{(i * i) % 5},{'yes' if i % 3 else 'no'}" for i in range(60)]
    (root / "own" / "mine.csv").write_text("\n".join(["a,b,target", *rows]) + "\n")
    return root


def run(project: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=project, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


SWEEP = (
    *("sweep/run.py", "+experiment=quickstart", "debug=true", "tracking.uri=sqlite:///runs.db"),
    *("grid.defense=[{name: pairing-linf, beta: [1, 6]}]", "grid.learning_rate=[1e-3]"),
    *("grid.grid_radius=[0.1]", "evaluation.attacks=[noise-linf,pgd-linf]"),
)
OWN_DATA = ("grid.dataset=[mine]", "data.source=folder", "data.root=own")
RINGS = (
    *("grid.dataset=[three-rings]", "data.source=rings", "grid.network=[funnel-16x4]"),
    *("evaluation.certify=false", "name=rings"),
)


def test_plan_names_and_prices_what_was_dropped_in(project: Path) -> None:
    shown = run(project, *SWEEP, *RINGS, "dry_run=true")
    assert "pairing-linf(beta=1)" in shown
    assert "three-rings" in shown
    assert "train 2 networks" in shown


def test_what_a_dropped_in_network_does_not_support_is_refused(project: Path) -> None:
    argv = (*SWEEP, *RINGS, "evaluation.certify=true", "dry_run=true")
    done = subprocess.run(
        [sys.executable, *argv], cwd=project, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: evaluation.certify=true: is not made for network 'funnel-16x4'; "
        "made for: cnn, lenet, mlp, resmlp\n"
    )


@pytest.mark.slow
def test_contracts_hold_for_what_was_dropped_in(project: Path) -> None:
    names = "pairing or noise or funnel or rings or counts or shares"
    shown = run(project, "-m", "pytest", "-q", "-k", names, *CONTRACTS)
    assert "passed" in shown


@pytest.mark.slow
@pytest.mark.parametrize("data", [OWN_DATA, RINGS], ids=["own data", "rings"])
def test_sweep_and_report_show_what_was_dropped_in(project: Path, data: tuple[str, ...]) -> None:
    told = run(project, *SWEEP, *data)
    name = "rings_debug" if data is RINGS else "quickstart_debug"
    defense, label = "pairing-linf(beta=1)", "Pairing-L∞ (beta = 1)"  # 6 is the default
    assert f"/ {defense}: " in told  # a line of progress
    assert "Pairing-L∞" in told  # the ranking
    with sqlite3.connect(project / "runs.db") as database:
        runs = {text for (text,) in database.execute("select name from runs")}
    assert any(defense in text for text in runs)
    run(project, "analysis/make_tables.py", f"experiment={name}")
    tables = project / "results" / name / "tables"
    report = (tables / "report.html").read_text(encoding="utf-8")
    for shown in (label, ">Pairing-L∞<", "Noise-L∞", "Mean accuracy of each defense."):
        assert shown in report
    assert label in (tables / "counts.md").read_text(encoding="utf-8")
    assert (tables / "shares.pdf").is_file()
