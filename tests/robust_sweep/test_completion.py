"""What the tab key completes."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from robust_sweep import cli
from robust_sweep.completion import SCRIPT, words


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("robust-sweep ta", ["tables"]),
        ("robust-sweep run +exp", ["+experiment="]),
        ("robust-sweep run +experiment=uci_f", ["uci_full"]),
        ("robust-sweep run  +experiment=quickstart training.st", ["training.steps="]),
        ("robust-sweep plan ray=cl", ["cluster"]),
        ("robust-sweep run grid.dataset=[wine,iri", ["[wine,iris"]),
        ("robust-sweep run grid.dataset=[iri", ["[iris"]),
        ("robust-sweep run grid.dataset=iri", ["iris"]),
        ("robust-sweep run grid.defense=[rub,nom", ["[rub,nominal"]),
        ("robust-sweep tables prot", ["protocol="]),
        ("robust-sweep best mea", ["measure="]),
        ("robust-sweep run training.steps=5", []),
        ("robust-sweep nothing x", []),
    ],
)
def test_words_are_those_that_may_follow(line: str, found: list[str]) -> None:
    assert words(line) == found


def test_all_commands_follow_the_name() -> None:
    assert words("robust-sweep ") == list(cli.COMMANDS)


def test_recorded_experiments_follow_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results" / "mine" / "records").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert words("robust-sweep tables experiment=") == ["mine"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_script_completes_in_bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == SCRIPT
    fake = 'robust-sweep() { echo "tables"; }; compopt() { :; }\n'
    ask = 'COMP_LINE="robust-sweep ta"; COMP_POINT=15; _robust_sweep; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{fake}{SCRIPT}{ask}"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == ("tables\n", "")


def test_other_shells_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "fish"]) == 2
    assert "usage: robust-sweep completion bash" in capsys.readouterr().err
