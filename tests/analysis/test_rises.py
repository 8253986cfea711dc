"""A trial whose accuracy under attack rises with the radius beyond noise is flagged."""

from __future__ import annotations

import pytest

from tests.analysis.made_records import records_of, rows_of


def flags(*accuracies: float | None, attack: str = "pgd-linf", samples: int = 500) -> set[str]:
    """The flags of a trial with these accuracies at radii 0.1, 0.2 ... on both splits."""
    rows = [
        rows_of(
            "a", own, own, attack=attack, attack_grid_radius=0.1 * (i + 1), num_samples=samples
        )
        for i, own in enumerate(accuracies)
    ]
    (text,) = records_of(*rows).trials["flags"]
    return set(text.split())


@pytest.mark.parametrize(
    ("accuracies", "rises"),
    [
        ((0.9, 0.5, 0.1), False),
        ((0.9, 0.1, 0.5), True),
        ((0.1, 0.9, 0.5), True),
        ((0.5, 0.9, 0.1), True),
        # 1,000 samples: 500 and 560 survive, two deviations of sqrt(250 + 246.4) = 22.3 each.
        ((0.5, 0.56), False),
        ((0.5, 0.57), True),  # 70 > 3 x 22.2
        ((0.5, None, 0.9), True),
        ((0.9,), False),
        ((1.0, 1.0, 1.0), False),
    ],
)
def test_rise_beyond_three_deviations_is_flagged(
    accuracies: tuple[float | None, ...], rises: bool
) -> None:
    assert ("not-decreasing" in flags(*accuracies)) == rises


def test_few_samples_are_noise() -> None:
    assert "not-decreasing" not in flags(0.4, 0.6, samples=10)


def test_certificates_are_no_attacks() -> None:
    assert flags(0.1, 0.9, attack="certified-l1") == set()


def test_attacks_are_not_compared_with_each_other() -> None:
    low = rows_of("a", 0.1, 0.1, attack="pgd-linf", attack_grid_radius=0.1, num_samples=500)
    high = rows_of("a", 0.9, 0.9, attack="fgsm-linf", attack_grid_radius=0.2, num_samples=500)
    assert records_of(low, high).trials["flags"].to_list() == [""]


def test_trial_has_the_flags_of_all_its_rows() -> None:
    rows = [
        rows_of("a", 0.9, 0.9, flags="no-gradient"),
        rows_of("a", 0.8, 0.8, attack_grid_radius=0.2, flags="weaker-than-fgm no-gradient"),
        rows_of("a", 0.7, 0.7, attack_grid_radius=0.3),
        rows_of("b", 0.7, 0.7, attack_grid_radius=0.3, learning_rate=1e-2),
    ]
    found = records_of(*rows).trials
    of = dict(zip(found["trial_id"], found["flags"], strict=True))
    assert of == {"a": "no-gradient weaker-than-fgm", "b": ""}
