"""What defenses and attacks are called and how they are drawn, the paper's and others."""

from __future__ import annotations

from itertools import combinations

import pytest

from analysis.names import adopt, label, math_label, ordered, style

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
