"""A defense, an attack, a table and a data set are single files that are dropped in."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PLUGINS = ROOT / "tests" / "plugins"
DROPPED = {
    "trades.py": "robust/defenses",
    "noise.py": "robust/attacks",
    "counts.py": "analysis/tables",
}
CONTRACTS = (
    "tests/robust/defenses/test_defenses_contract.py",
    "tests/robust/attacks/test_attacks_contract.py",
    "tests/sweep/cost/test_cost.py",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the plug-ins in it."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("robust", "sweep", "analysis", "conf", "tests"):
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
    *("sweep/run.py", "+experiment=quickstart", "debug=true", "tracking.enabled=false"),
    "grid.defense=[{name: trades-linf, beta: [1, 6]}]",
    *("grid.dataset=[mine]", "data.source=folder", "data.root=own", "grid.learning_rate=[1e-3]"),
    *("grid.grid_radius=[0.1]", "evaluation.attacks=[noise-linf,pgd-linf]"),
)


def test_plan_names_and_prices_what_was_dropped_in(project: Path) -> None:
    shown = run(project, *SWEEP, "dry_run=true")
    assert "trades-linf(beta=1)" in shown
    assert "2 trials" in shown


@pytest.mark.slow
def test_contracts_hold_for_what_was_dropped_in(project: Path) -> None:
    shown = run(project, "-m", "pytest", "-q", "-k", "trades or noise", *CONTRACTS)
    assert "passed" in shown


@pytest.mark.slow
def test_sweep_and_tables_show_what_was_dropped_in(project: Path) -> None:
    run(project, *SWEEP)
    run(project, "analysis/make_tables.py", "experiment=quickstart_debug")
    tables = project / "results" / "quickstart_debug" / "tables"
    report = (tables / "report.html").read_text(encoding="utf-8")
    assert "TRADES-L∞ (beta = 1)" in report
    assert "TRADES-L∞" in (tables / "counts.md").read_text(encoding="utf-8")
