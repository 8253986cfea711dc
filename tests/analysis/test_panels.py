"""Titles of small panels, which must tell data sets apart."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.figures import bounds, certified
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
    (page,) = certified.draw(frame)
    (axes,) = page.axes
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
    certified.draw(frame)[0].savefig(tmp_path / "a.png")
    assert name in shown([name])


@pytest.mark.parametrize("sets", [1, 12, 49])
def test_pages_are_no_taller_than_paper_and_hold_every_data_set(sets: int) -> None:
    frame = pd.DataFrame(
        [
            {"dataset": f"set-{i:02}", "defense": d, "attack_grid_radius": r, "certified": 0.5}
            for i in range(sets)
            for d in [f"my-own-{n}" for n in range(20)]
            for r in (0.0, 0.1)
        ]
    )
    pages = certified.draw(frame)
    assert len(pages) == certified.FIGURE.pages(frame)
    assert all(page.get_figheight() <= 11 for page in pages)
    texts = [text.get_text() for page in pages for text in page.axes[0].texts]
    assert {f"set-{i:02}" for i in range(sets)} <= set(texts)


def test_both_sides_of_the_truth_of_every_norm_are_drawn_above_one_another() -> None:
    rows = [
        {"dataset": f"set-{i}", "attack_norm": norm, "defense": d, "attack_grid_radius": r,
         "attack_radius": r, "certified": 0.3, "attacked": 0.6, "repetitions": 1}
        for i in range(7) for norm in ("l1", "linf") for d in ("rub", "nominal") for r in (0.1, 1)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    pages = bounds.draw(frame)
    assert len(pages) == bounds.FIGURE.pages(frame) == 2
    texts = [text.get_text() for page in pages for text in page.axes[0].texts]
    assert texts.count("mean of 7 data sets") == 2
    for side in ("attacked", "certified"):
        for norm in ("L_{1}", r"L_{\infty}"):
            assert f"{side} ${norm}$, %" in texts


def test_mean_is_over_the_sets_and_radii_that_all_defenses_have() -> None:
    rows = [
        ("a", "rub", 0.1, 0.2), ("a", "nominal", 0.1, 0.0), ("b", "rub", 0.1, 0.4),
        ("b", "nominal", 0.1, 0.0), ("c", "rub", 0.1, 1.0), ("a", "rub", 1.0, 0.1),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["dataset", "defense", "attack_grid_radius", "certified"])
    mean = bounds.means(frame.assign(attack_norm="l1", attacked=1.0)).set_index("defense")
    assert mean["certified"].to_dict() == {"rub": pytest.approx(0.3), "nominal": 0.0}
    assert set(mean["sets"]) == {2}
