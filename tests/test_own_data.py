"""`docs/own-data.md` is run block by block, and prints what stands in it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from robust_sweep import run
from sweep.datasets.__main__ import main as data

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def show(words: Sequence[str]) -> None:
    print(Path(words[0]).read_text(encoding="utf-8"))


# What the first words of a command do, in this process: `robust-sweep` hands its arguments on.
COMMANDS: dict[str, Callable[[list[str]], object]] = {
    "robust-sweep data": data,
    "robust-sweep plan": lambda words: run.main([*words, "dry_run=true"]),
    "cat": show,
}


def call(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints."""
    (name,) = (name for name in COMMANDS if command.startswith(f"{name} "))
    COMMANDS[name](shlex.split(command.removeprefix(name)))
    return "".join(capsys.readouterr())


def test_guide_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert {kind for kind, _ in BLOCKS} == {"console", "python", "yaml"}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "docs/own-data.md", "exec"), {})
        elif kind == "yaml":
            Path("catalog/iris.yaml").write_text(text)
        else:
            command, expected = text.removeprefix("$ ").split("\n", 1)
            printed = call(command, capsys)
            assert expected.removesuffix(" ...\n") in printed, f"{command}\n{printed}"


@pytest.mark.slow
def test_printed_command_trains_and_its_records_make_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0][1], "docs/own-data.md", "exec"), {})
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def command(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "robust_sweep", *words],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    printed = command("data", "check", "patients.csv", "--target", "outcome")
    (line,) = (line for line in printed.splitlines() if "+experiment=" in line)
    command(*shlex.split(line)[1:])
    assert list((tmp_path / "results" / "patients" / "records").glob("*.parquet"))
    command("tables", "experiment=patients")
    assert (tmp_path / "results" / "patients" / "tables" / "report.html").is_file()
