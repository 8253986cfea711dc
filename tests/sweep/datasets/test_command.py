"""`python -m sweep.datasets`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweep.datasets.__main__ import _DEFAULTS, main


def test_verify_of_the_bundled_sets_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "source=bundled"]) == 0
    output = capsys.readouterr().out
    assert "4 of 4 data sets are as the catalog says" in output
    lines = {line.split()[0]: line for line in output.splitlines() if line}
    assert lines["iris"].split()[1:4] == ["150", "4", "3"]


def test_verify_says_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i},{i * i % 7},{'ab'[i % 2]}" for i in range(20)]
    (tmp_path / "iris.csv").write_text("\n".join(["f,g,class", *rows]))
    assert main(["verify", "source=folder", f"root={tmp_path}", "iris"]) == 1
    output = capsys.readouterr().out
    assert "20 rows, expected 150; 2 features, expected 4; 2 classes, expected 3" in output
    assert "0 of 1" in output


@pytest.mark.parametrize("command", ["verify", "audit"])
def test_sets_without_a_file_in_the_folder_are_counted_and_not_listed(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{i},{i * i % 7},{'ab'[i % 2]}" for i in range(20)]
    (tmp_path / "iris.csv").write_text("\n".join(["f,g,class", *rows]))
    main([command, "source=folder", f"root={tmp_path}"])
    output = capsys.readouterr().out
    assert [line.split()[0] for line in output.splitlines()[1:-2]] == ["iris"]
    assert f"48 more of the catalog have no file in {tmp_path}" in output


def test_verify_names_what_could_not_be_read_and_what_leaks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label = ["ab"[i % 3 == 0] for i in range(30)]
    rows = [f"{i * i % 7},{'ab'.index(y)},{y}" for i, y in enumerate(label)]
    (tmp_path / "iris.csv").write_text("\n".join(["f,copy,class", *rows]))
    (tmp_path / "wine.csv").write_text("")
    (tmp_path / "parkinsons.csv").write_text("\n".join(["f,copy,class", *rows]))
    assert main(["verify", "source=folder", f"root={tmp_path}"]) == 1
    summary = capsys.readouterr().out.split("\n\n")[1]
    assert "1 not read: wine" in summary
    assert "2 with a leak: iris, parkinsons" in summary
    assert "(entry marked unsure): what OpenML has may differ" in summary


def test_audit_finds_a_kept_label(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "source=bundled", "wine"]) == 0
    assert main(["audit", "source=bundled", "wine", "keep_target_column=true"]) == 1
    assert "feature target: one-to-one with the label" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "source=ftp"], "data.source='ftp' is unknown; known: authors, bundled"),
        (
            ["audit", "source=bundled", "irsi"],
            "unknown data set of source 'bundled' 'irsi' (did you mean 'iris'?)",
        ),
        (["audit", "source=authors"], "data.root is not set"),
        (["audit", "source=folder", "root=no/such"], "no/such' is not a folder"),
        ([], "command '' is unknown; usage: robust-sweep data check FILE"),
        (["chek"], "command 'chek' is unknown; usage: robust-sweep data check FILE"),
        (["audit", "--speed"], "unknown argument '--speed'; known: source=..."),
        (["audit", "speed=1"], "unknown argument 'speed=1'; known: source=..."),
        (["audit", "timeout_seconds=soon"], "timeout_seconds=soon: must be a positive number"),
        (["audit", "timeout_seconds=0"], "timeout_seconds=0: must be a positive number"),
        (["audit", "keep_target_column=1"], "keep_target_column=1: must be true or false"),
    ],
)
def test_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_help_names_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"[{key}=" in printed for key in _DEFAULTS)


def test_module_runs_without_a_traceback() -> None:
    command = [sys.executable, "-m", "sweep.datasets", "verify", "../x", "source=bundled"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: unknown data set of source 'bundled' '../x'")
    assert result.stderr.count("\n") == 1
