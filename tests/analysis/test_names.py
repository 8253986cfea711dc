"""What defenses and attacks are called and how they are drawn, the paper's and others."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest

from analysis import figure_files, names
from analysis.names import adopt, label, math_label, ordered, style
from analysis.report.chart import chart
from tests.analysis.colours import MACHADO, apart, ciede2000, lab

PAPER = ["rub", "arub-l1", "arub-linf", "baseline-linf", "pgd-linf", "fgsm-linf", "coap-linf"]


@pytest.mark.parametrize(
    ("name", "text", "mathematics"),
    [
        ("rub", "RUB", "RUB"),
        ("arub-linf", "aRUB-L∞", r"aRUB-$L_{\infty}$"),
        ("pgd-l2", "PGD-L2", "PGD-$L_{2}$"),
        ("certified-l1-tight", "Certified-L1-tight", "Certified-$L_{1}$-tight"),
        ("pgd-linf-best", "PGD-L∞-best", r"PGD-$L_{\infty}$-best"),
        ("nobody_s-linf", "nobody_s-linf", r"nobody\_s-linf"),
    ],
)
def test_label_is_the_papers_or_the_name(name: str, text: str, mathematics: str) -> None:
    assert label(name) == text
    assert math_label(name) == mathematics


def test_label_of_the_records_is_adopted_for_every_norm_and_hyperparameter() -> None:
    adopt({"smooth-linf": "Smoothing", "rub": "never over the paper's own"})
    assert label("smooth-linf") == "Smoothing-L∞"
    assert label("smooth-l2(beta=1,gamma=2)") == "Smoothing-L2 (beta = 1, gamma = 2)"
    assert label("rub") == "RUB"


def test_defenses_are_told_apart_when_drawn() -> None:
    names = [*PAPER, "soft-linf", "soft-linf(beta=1)", "soft-linf(beta=2)", "other-l1"]
    adopt(dict.fromkeys(names, "Soft"))
    assert not [pair for pair in combinations(names, 2) if style(pair[0]) == style(pair[1])]


def test_others_follow_the_papers_in_print() -> None:
    assert ordered(["zzz-linf", "nominal", "aaa-linf", *PAPER]) == [
        *("rub", "arub-l1", "arub-linf", "baseline-linf", "pgd-linf", "fgsm-linf", "coap-linf"),
        *("nominal", "aaa-linf", "zzz-linf"),
    ]


# Of the table of test data that Sharma, Wu and Dalal publish with their formula.
SHARMA = [
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 2.5, 0.0), (50.0, 0.0, -2.5), 4.3065),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
]


@pytest.mark.parametrize(("first", "second", "difference"), SHARMA)
def test_colour_difference_is_the_published_one(
    first: tuple[float, float, float], second: tuple[float, float, float], difference: float
) -> None:
    assert ciede2000(first, second) == pytest.approx(difference, abs=1e-4)
    assert ciede2000(second, first) == pytest.approx(difference, abs=1e-4)


def test_every_eye_sees_white_as_white() -> None:
    for matrix in MACHADO.values():
        assert [sum(row) for row in matrix] == pytest.approx([1, 1, 1], abs=1e-5)
    assert lab((1.0, 1.0, 1.0)) == pytest.approx((100, 0, 0), abs=0.01)
    assert apart("#FF0000", "#00FF00") < ciede2000(lab((1.0, 0.0, 0.0)), lab((0.0, 1.0, 0.0)))


LEAST = 20.0


def test_papers_defenses_are_apart_for_every_eye() -> None:
    colours = [look.color for look in names._STYLES.values()]
    near = [pair for pair in combinations(colours, 2) if apart(*pair) < LEAST]
    assert near == []


def test_colours_that_are_near_have_other_markers() -> None:
    looks = [*names._STYLES.values(), *names._SPARE]
    near = [(a, b) for a, b in combinations(looks, 2) if apart(a.color, b.color) < LEAST]
    assert near
    assert all(a.marker != b.marker for a, b in near)


def test_chart_of_the_report_draws_every_style() -> None:
    adopt({f"soft{i}-linf": "Soft" for i in range(len(names._SPARE))})
    everyone = [*names._STYLES, *(f"soft{i}-linf" for i in range(len(names._SPARE)))]
    shapes = chart(everyone)["layer"][-1]["encoding"]["shape"]["scale"]["range"]
    assert len(shapes) == len(everyone)
    assert len(set(shapes)) == len({style(name).marker for name in everyone})


def test_process_that_draws_learns_labels_and_styles_of_the_records(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    style("unnamed-linf")  # takes the place that the next one would have
    adopt({"murky-linf": "Murky Defense", "blurry-l1": "Blurry"})
    before = {name: (label(name), style(name)) for name in ("murky-linf", "blurry-l1")}
    labels = names.given()
    for kept in ("_adopted", "_given", "_spare_places"):
        monkeypatch.setattr(names, kept, {})  # as in a process that has read no records
    assert label("murky-linf") == "murky-linf"
    monkeypatch.setattr(figure_files, "draw_figure", lambda *_: None)
    figure_files._draw_elsewhere(labels, "figure2", pd.DataFrame(), tmp_path, ())
    assert {name: (label(name), style(name)) for name in before} == before
