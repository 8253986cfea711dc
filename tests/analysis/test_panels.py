"""Titles of small panels, which must tell data sets apart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.figures import certified
from analysis.figures.panels import TWO_LINES, panel_titles

NAMES = [
    "breast-cancer-wisconsin-original",
    "breast-cancer-wisconsin-prognostic",
    "breast-cancer-wisconsin-diagnostic",
    "wall-following-robot-navigation-2",
    "wall-following-robot-navigation-24",
    "optical-recognition-handwritten-digits",
    "pen-based-recognition-handwritten-digits",
]


def shown(names: list[str]) -> list[str]:
    """Return the texts that the figure's panels carry, line ends taken out."""
    frame = pd.DataFrame(
        [
            {"dataset": n, "defense": "rub", "attack_grid_radius": r, "certified": 0.5}
            for n in names
            for r in (0.0, 0.1)
        ]
    )
    (axes,) = certified.draw(frame).axes
    return [text.get_text().replace("\n", "") for text in axes.texts]


def test_data_sets_that_begin_alike_have_titles_of_their_own() -> None:
    assert set(NAMES) <= set(shown(NAMES))


def test_longer_names_differ_after_cutting_wherever_they_differ() -> None:
    names = [f"{'a' * 60}{c}{'b' * 60}" for c in "xyz"]
    titles = panel_titles(names)
    assert len(set(titles)) == 3
    assert len(set(shown(names)) & set(titles)) == 3


def test_one_long_name_is_cut_to_two_lines() -> None:
    (title,) = panel_titles(["n" * 50 + "-original"])
    assert len(title) == TWO_LINES
    assert title.endswith("-original")


@given(st.lists(st.text("ab", min_size=1, max_size=90), unique=True, max_size=8))
def test_different_names_have_different_titles(names: list[str]) -> None:
    titles = panel_titles(names)
    assert len(set(titles)) == len(names)


def test_two_spellings_of_one_set_keep_their_own() -> None:
    assert panel_titles(["mnist", "iris"]) == ["MNIST", "iris"]
    assert panel_titles(["mnist", "mnist_784"]) == ["mnist", "mnist_784"]
    assert len(set(panel_titles(["mnist", "MNIST", "mnist_784"]))) == 3


@pytest.mark.parametrize("name", ["cost$s$", "$\\frac$", "under_score", "back\\slash"])
def test_names_are_no_mathematics(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"dataset": name, "defense": "rub", "attack_grid_radius": [0.0], "certified": [0.5]}
    )
    certified.draw(frame).savefig(tmp_path / "a.png")
    assert name in shown([name])
