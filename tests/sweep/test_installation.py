"""Where the project's files are, and how its commands are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.installation import CONF, INSTALLED, ROOT, command_of


def test_configuration_of_a_checkout_lies_beside_its_packages() -> None:
    assert not INSTALLED
    assert CONF.parent == ROOT
    assert (CONF / "config.yaml").is_file()


@pytest.mark.parametrize(
    ("script", "installed"),
    [
        ("sweep/run.py", "robust-sweep run"),
        ("sweep/strong.py", "robust-sweep strong"),
        ("analysis/make_tables.py", "robust-sweep tables"),
    ],
)
def test_command_of_a_script_depends_on_where_it_is_called(script: str, installed: str) -> None:
    assert command_of(script, installed=False) == f"python {script}"
    assert command_of(script, installed=True) == installed


@pytest.mark.parametrize("there", [False, True])
def test_elsewhere_a_command_is_named_that_is_there(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    if there:
        (tmp_path / "robust-sweep").touch()
    monkeypatch.chdir(ROOT)
    assert command_of("sweep/run.py") == "python sweep/run.py"
    monkeypatch.chdir(tmp_path)
    expected = "robust-sweep run" if there else f"python {ROOT / 'sweep' / 'run.py'}"
    assert command_of("sweep/run.py") == expected
