"""Hyperparameters of defenses: read from names and mappings, written into names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robust import defenses
from robust.defenses.base import DEFENSES
from robust.defenses.nominal import Nominal


@dataclass(frozen=True)
class Made(Nominal):
    """Every type of hyperparameter."""

    beta: float = 6.0
    steps: int = 10
    warm: bool = False
    rule: str = "kl"


@pytest.fixture(autouse=True, scope="module")
def made() -> Iterator[None]:
    defenses.register(Made(name="made-linf", norm="linf"))
    yield
    del DEFENSES._items["made-linf"]


def made_of(name: str) -> Made:
    found = defenses.get(name)
    assert isinstance(found, Made)
    return found


def test_name_sets_the_hyperparameters_it_lists() -> None:
    found = made_of("made-linf(rule=ce, beta=1,warm=true)")
    assert (found.beta, found.steps, found.warm, found.rule) == (1.0, 10, True, "ce")
    assert found.norm == "linf"


@pytest.mark.parametrize("name", ["made-linf", "made-linf()", "made-linf(beta=6)"])
def test_name_leaves_out_what_is_as_registered(name: str) -> None:
    assert made_of(name).name == "made-linf"


def test_equal_defenses_have_equal_names() -> None:
    first, second = made_of("made-linf(steps=3,beta=1e0)"), made_of("made-linf(beta=1.0,steps=3)")
    assert first == second
    assert first.name == "made-linf(beta=1,steps=3)"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_name_reads_back_as_the_same_defense(beta: float) -> None:
    found = defenses.variant("made-linf", {"beta": beta})
    assert defenses.get(found.name) == found


@pytest.mark.parametrize(
    "name, message",
    [
        ("made-linf(gamma=1)", "no parameter 'gamma'; it has: beta, steps, warm, rule"),
        ("made-linf(beta=x)", "beta='x' must be of type float"),
        ("made-linf(steps=1.5)", "steps='1.5' must be of type int"),
        ("made-linf(warm=3)", "warm='3' must be of type bool"),
        ("made-linf(beta)", "write name"),
        ("rub(beta=1)", "no parameter 'beta'; it has: none"),
        ("rup(beta=1)", "unknown defense 'rup'.*did you mean 'rub'"),
    ],
)
def test_wrong_hyperparameter_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        defenses.get(name)
    assert "\n" not in str(error.value)


def test_defense_without_a_label_is_refused() -> None:
    class Unlabelled(Nominal):
        label = ""

    with pytest.raises(ValueError, match="declares no label"):
        defenses.register(Unlabelled(name="unlabelled", norm=None))
