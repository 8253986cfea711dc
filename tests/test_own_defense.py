"""`docs/own-defense.md` is followed block by block, and prints what stands in it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "own-defense.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, which the guide writes a file into."""
    for folder in ("robust", "sweep", "analysis", "robust_sweep", "conf", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "golden")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


def follow(project: Path, block: tuple[str, str]) -> None:
    """Do what a block says; hold what it prints against what stands there, up to `...`."""
    kind, text = block
    if kind == "python" and "register(" in text:
        (project / "robust" / "defenses" / "my_trades_linf.py").write_text(text)
        return
    if kind == "python":
        call(project, "-c", text)
        return
    command, expected = text.removeprefix("$ ").split("\n", 1)
    words = shlex.split(command)
    assert words[0] == "robust-sweep"
    printed = call(project, "-m", "robust_sweep", *words[1:])
    at = 0
    for piece in re.split(r" ?\.\.\.", expected.strip()):
        at = printed.find(piece, at)
        assert at >= 0, f"{piece!r} is not in what {command!r} prints:\n{printed}"
        at += len(piece)


def call(project: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(project), "XDG_CACHE_HOME": str(project / "c")}
    done = subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_guide_prints_what_it_says_until_the_sweep(project: Path) -> None:
    until = next(i for i, (_, text) in enumerate(BLOCKS) if text.startswith("$ robust-sweep run"))
    assert until == 5
    for block in BLOCKS[:until]:
        follow(project, block)


@pytest.mark.slow
def test_guide_goes_through_to_the_report(project: Path) -> None:
    for block in BLOCKS:
        follow(project, block)
    report = (project / "results" / "mine" / "tables" / "report.html").read_text(encoding="utf-8")
    assert "TRADES-L∞ (beta = 1)" in report
    contract = "tests/robust/defenses/test_defenses_contract.py"
    assert "passed" in call(project, "-m", "pytest", "-q", "-k", "trades", contract)
