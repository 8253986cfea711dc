"""The command `new`: what it writes runs as it is, and nothing is written over."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robust_sweep import cli, new

ROOT = Path(__file__).resolve().parents[2]
WANTED = (
    ("defense", "own-idea-linf"),
    ("attack", "darts-l2"),
    ("table", "own-table"),
    ("experiment", "own_study"),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which one of each kind was written."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("robust", "sweep", "analysis", "robust_sweep", "conf", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    calls = "; ".join(f"assert main(['new', {kind!r}, {name!r}]) == 0" for kind, name in WANTED)
    call(root, "-c", f"from robust_sweep.cli import main; {calls}")
    return root


def call(project: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_written_is_planned_with_its_hyperparameter(project: Path) -> None:
    argv = ["+experiment=own_study", "grid.defense=[{name: own-idea-linf, weight: [0.2, 1]}]"]
    argv += ["evaluation.attacks=[darts-l2]", "evaluation.certify=false"]
    shown = call(project, "-m", "robust_sweep", "plan", *argv)
    assert "own-idea-linf(weight=0.2)" in shown
    assert "own-idea-linf(weight=1)" in shown


@pytest.mark.slow
def test_contracts_and_own_tests_hold_for_what_is_written(project: Path) -> None:
    own = ["tests/robust/defenses/test_own_idea_linf.py", "tests/robust/attacks/test_darts_l2.py"]
    own += ["tests/analysis/test_own_table.py"]
    assert "failed" not in call(project, "-m", "pytest", "-q", *own)
    contracts = ["tests/robust/defenses/test_defenses_contract.py"]
    contracts += ["tests/robust/attacks/test_attacks_contract.py"]
    shown = call(project, "-m", "pytest", "-q", "-k", "own-idea or darts", *contracts)
    assert "passed" in shown


@pytest.mark.slow
def test_what_is_written_is_in_the_projects_style(project: Path) -> None:
    names = ("own_idea_linf", "darts_l2", "own_table")
    written = [str(p) for name in names for p in project.rglob(f"*{name}.py")]
    assert len(written) == 6
    call(project, "-m", "ruff", "check", *written)
    call(project, "-m", "ruff", "format", "--check", *written)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["defense"], "takes a kind and a name"),
        (["defense", "a-l1", "b-l1"], "takes a kind and a name"),
        (["defence", "a-l1"], "unknown kind 'defence' (did you mean 'defense'?)"),
        (["defense", "trades"], "'trades': the name of a defense ends in its norm"),
        (["defense", "linf"], "ends in its norm"),
        (["attack", "Mine-l1"], "'Mine-l1' is no name of an attack"),
        (["table", "../x"], "'../x' is no name of a table"),
        (["table", "lambda"], "no word of Python"),
        (["experiment", "quickstart"], "quickstart.yaml exists"),
        (["defense", "pgd-linf"], "defense 'pgd-linf' is there already"),
        (["attack", "fgm-l2"], "attack 'fgm-l2' is there already"),
        (["table", "table2"], "table 'table2' is there already"),
        (["table", "figure2"], "'figure2'"),
    ],
)
def test_mistake_is_one_line_and_writes_nothing(
    argv: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrote: list[Path] = []
    monkeypatch.setattr(new, "write_text", lambda path, text: wrote.append(path))
    assert cli.main(["new", *argv]) == 2
    out, err = capsys.readouterr()
    assert (out, wrote) == ("", [])
    assert err.count("\n") == 1
    assert message in err
