"""Command lines `COMMAND key=value ...` and their second spelling, `--key value`."""

from __future__ import annotations

import pytest

from sweep import arguments

DEFAULTS = {"out": "here", "max_size": "3"}


@pytest.mark.parametrize(
    "argv",
    [
        ["out=a b", "word", "max_size=9"],
        ["--out", "a b", "word", "--max-size", "9"],
        ["--out=a b", "--max_size=9", "word"],
        ["word", "--max-size=9", "out=first", "--out", "a b"],
    ],
)
def test_spellings_mean_the_same(argv: list[str]) -> None:
    parsed = arguments.parse(["show", *argv], ["show"], DEFAULTS, "show")
    assert parsed == ("show", {"out": "a b", "max_size": "9"}, ["word"])


def test_value_may_have_an_equals_sign_or_be_empty() -> None:
    _, options, _ = arguments.parse(["show", "out=a=b", "--max-size", ""], ["show"], DEFAULTS, "")
    assert options == {"out": "a=b", "max_size": ""}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "command '' is unknown; usage: show"),
        (["shw"], "command 'shw' is unknown"),
        (["show", "in=a"], "unknown argument 'in=a'; known: out=..., max_size=..."),
        (["show", "--in", "a"], "unknown argument '--in'"),
        (["show", "-out", "a"], "unknown argument '-out'"),
        (["show", "--out"], "--out: has no value; write out=value"),
    ],
)
def test_mistake_is_one_line(argv: list[str], message: str) -> None:
    with pytest.raises(ValueError, match="argument|command|value") as error:
        arguments.parse(argv, ["show"], DEFAULTS, "show")
    assert message in str(error.value)
