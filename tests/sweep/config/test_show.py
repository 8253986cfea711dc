"""What flags show: help that is true, the configuration as it is composed."""

from __future__ import annotations

import pytest
import yaml

from sweep.config import compose, show
from sweep.config.compose import choices, keys

QUICKSTART = "+experiment=quickstart"


def test_help_lists_every_experiment_and_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    show.show(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for name in choices("experiment"):
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert line.endswith(".")
        assert len(line.split()) > 3  # what it is
    assert {line.strip().split("=")[0] for line in lines if line.startswith("  ")} >= set(keys())


def test_help_names_the_groups_there_are_and_no_others() -> None:
    text = show.help_text()
    assert "ray=cluster|local" in text
    assert "catalog:" not in text


def test_keys_of_the_help_can_be_given_as_they_stand() -> None:
    shown = [line.strip() for line in show.help_text([QUICKSTART]).splitlines() if "  " in line]
    given = [line for line in shown if line.split("=")[0] in keys()]
    assert len(given) == len(keys())
    assert compose.read([QUICKSTART, *given]) == compose.read([QUICKSTART])


def test_help_of_an_experiment_shows_its_values() -> None:
    assert "training.steps=200" in show.help_text([QUICKSTART])
    assert "training.steps=7" in show.help_text([QUICKSTART, "training.steps=7"])


@pytest.mark.parametrize("flags", [["--cfg", "job"], ["-c", "job"], ["--cfg=job"]])
def test_configuration_is_shown_with_its_name(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    show.show([*flags, QUICKSTART, "grid.dataset=iris"])
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["name"] == "quickstart"
    assert shown["grid"]["dataset"] == ["iris"]


def test_configurations_of_included_experiments_are_documents_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.show(["--cfg", "job", "+experiment=speed"])
    parts = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [part["packing"]["max_trials"] for part in parts] == [1, 77]
    assert {part["name"] for part in parts} == {"speed"}


def test_password_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    uri = "tracking.uri=mysql://user:geheim@host/database"
    show.show(["--cfg", "job", QUICKSTART, uri])
    show.show(["--help", QUICKSTART, uri])
    shown = capsys.readouterr().out
    assert "host/database" in shown
    assert "geheim" not in shown


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--multirun", QUICKSTART], "--multirun: the grid replaces it"),
        (["-m", QUICKSTART], "--multirun: the grid replaces it"),
        (["--shell-completion", "install=bash"], "robust-sweep completion bash"),
        (["-sc", "install=bash"], "robust-sweep completion bash"),
        (["--cgf", "job"], "did you mean '--cfg'"),
        (["--cfg", "job", "+experiment=quickstrt"], "did you mean 'quickstart'"),
        (["--help", "+experiment=quickstrt"], "did you mean 'quickstart'"),
    ],
)
def test_mistake_is_one_line(argv: list[str], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        show.show(argv)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
