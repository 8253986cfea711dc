"""Code that really changes between two runs, in a copy of the project under git."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SWEEP = (
    *("sweep/run.py", "+experiment=quickstart", "debug=true", "tracking.enabled=false"),
    *("grid.dataset=[iris]", "grid.network=[mlp-1x8]", "grid.learning_rate=[1e-3]"),
    *("grid.grid_radius=[0.1]", "evaluation.attacks=[pgd-linf]"),
)
SIX = "grid.defense=[{name: pairing-linf, beta: 6},nominal]"
BOTH = "grid.defense=[{name: pairing-linf, beta: [1, 6]}]"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("robust", "sweep", "analysis", "robust_sweep", "conf"):
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".gitignore").write_text("results\n__pycache__\n")
    shutil.copy(ROOT / "tests" / "plugins" / "pairing.py", tmp_path / "robust" / "defenses")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(project: Path, *arguments: str) -> str:
    user = ("-c", "user.name=Anyone", "-c", "user.email=anyone@example.org")
    done = subprocess.run(
        ["git", *user, *arguments], cwd=project, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(project: Path) -> str:
    """Commit everything; return the commit as people write it."""
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "any")
    return git(project, "rev-parse", "HEAD")[:7]


def run(project: Path, *arguments: str) -> str:
    """Run the sweep; return what it says."""
    done = subprocess.run(
        [sys.executable, *SWEEP, *arguments], cwd=project, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stderr + done.stdout


@pytest.mark.slow
def test_changed_source_is_never_passed_over_in_silence(project: Path) -> None:
    assert "train 2 networks" in run(project, SIX)
    # Another hyperparameter is another network.
    assert "train 1 network" in run(project, BOTH)
    first = git(project, "rev-parse", "HEAD")[:7]
    file = project / "robust" / "defenses" / "pairing.py"
    whole = file.read_text()

    file.write_text(whole.replace("self.beta * dist", "self.beta + dist"))
    for arguments in ((), ("dry_run=true",)):
        said = run(project, BOTH, *arguments)
        assert "trained 2 of 2 recorded networks" in said
        assert f"{first}+dirty" in said
        assert "all 2 trials are complete;" not in said
    second = commit(project)
    said = run(project, BOTH, "retrain=changed")
    assert "train 2 networks" in said
    assert "(2 of them by other code" not in run(project, BOTH)

    git(project, "checkout", "-q", first)
    said = run(project, BOTH)
    assert "trained 2 of 2 recorded networks" in said
    assert f"pairing-linf 1 (commit {second})" in said
    assert f"(commit {first})" in said
