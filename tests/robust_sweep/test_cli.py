"""The command `robust-sweep`: what it lists, where it sends arguments, how it refuses."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

import robust_sweep
from robust_sweep import cli, ui
from sweep.installation import command_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_lists_every_command(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([flag]) == 0
    listed = capsys.readouterr().out
    assert {"run", "plan", "tables", "ui", "data"} <= set(cli.COMMANDS)
    for name, command in cli.COMMANDS.items():
        assert f"  {name} " in listed
        assert command.summary in listed


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help_that_names_it(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.output.outlive_readers", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *given: None)
    with contextlib.suppress(SystemExit):  # `run` and `plan` end the process
        assert cli.main([command, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert {"run": "sweep/run.py", "plan": "sweep/run.py"}.get(command, command) in out
    assert len(out.splitlines()) > 3


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"robust-sweep {robust_sweep.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from robust_sweep.cli import main; main(['--help']);"
        "print(sorted({'torch', 'ray', 'hydra', 'mlflow', 'polars'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give a command: run, plan, tables"),
        (["tabels"], "did you mean 'tables'?"),
        ([""], "give a command"),
        (["ui", "host=0.0.0.0"], "unknown argument 'host=0.0.0.0'; known: port=..."),
        (["ui", "port=0"], "port=0: must be a number from 1 to 65535"),
        (["ui", "port=65536"], "port=65536: must be a number"),
        (["ui", "port="], "port=: must be a number"),
        (["ui", "--host", "0.0.0.0"], "unknown argument '--host'"),
        (["ui", "5001"], "unknown argument '5001'"),
        (["ui", "database=no.db"], "no no.db in"),
        (["data"], "command"),
        (["data", "verify", "irsi", "source=bundled"], "irsi"),
        (["tables", "colour=red"], "unknown argument 'colour=red'; allowed"),
        (["tables", "experimnt=x"], "did you mean experiment=...?"),
        (["best", "--datset", "wine"], "did you mean dataset=...?"),
        (["publish", "result=x"], "did you mean results=...?"),
    ],
)
def test_mistake_is_one_line(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_ui_without_a_database_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["ui"]) == 2
    assert f"no mlflow.db in {tmp_path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_ui_serves_this_machine_only() -> None:
    command = ui.server(5001, Path("mlflow.db"))
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert options == {
        "--backend-store-uri": "sqlite:///mlflow.db",
        "--host": "127.0.0.1",
        "--port": "5001",
        "--workers": "1",
    }


def test_ui_prints_where_the_runs_tables_are_and_becomes_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, list[str]]] = []
    monkeypatch.setattr("os.execv", lambda path, command: seen.append((path, command)))
    found = [("wine", "2"), ("quickstart", "1")]
    monkeypatch.setattr("sweep.tracking.connection.experiments", lambda uri: found)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").touch()
    cli.main(["ui", "port=5001"])
    ((path, command),) = seen
    assert path == command[0] == sys.executable
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert "sqlite:///mlflow.db" in command
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("wine: http://127.0.0.1:5001/#/experiments/2/runs?")
    assert second.startswith("quickstart: http://127.0.0.1:5001/#/experiments/1/runs?")


def test_ui_serves_a_database_that_it_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A newer MLflow asks for an upgrade of the file; its server says how."""
    (tmp_path / "other.db").write_bytes(b"no database")
    assert ui.links(5000, tmp_path / "other.db") == []


def test_plan_is_a_dry_run_whatever_its_arguments_say(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("robust_sweep.run.command", seen.append)
    monkeypatch.setattr("signal.signal", lambda *given: None)
    monkeypatch.setattr("sweep.output.outlive_readers", lambda: None)
    cli.main(["plan", "+experiment=quickstart", "dry_run=false"])
    assert seen == [["+experiment=quickstart", "dry_run=false", "dry_run=true"]]


def test_plan_trains_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "robust_sweep", "plan", "+experiment=quickstart"]
    more = ["dry_run=false", f"paths.results={tmp_path / 'results'}"]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "128" in done.stdout
    assert not list(tmp_path.rglob("*.parquet"))


def test_every_script_of_the_readme_has_a_command() -> None:
    for script in ("sweep/run.py", "sweep/strong.py", "analysis/make_tables.py"):
        assert (ROOT / script).is_file()
        assert command_of(script, installed=True).removeprefix("robust-sweep ") in cli.COMMANDS
