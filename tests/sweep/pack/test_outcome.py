from __future__ import annotations

import pytest

from sweep.pack.outcome import Assessment, Outcome, PackOutcome, failed_pack


@pytest.mark.parametrize(
    ("problem", "diverged_step", "status"),
    [(None, None, "complete"), (None, 3, "diverged"), ("x", None, "failed"), ("x", 3, "failed")],
)
def test_status_is_failed_before_it_is_diverged(
    problem: str | None, diverged_step: int | None, status: str
) -> None:
    assert Outcome(Assessment(problem=problem), diverged_step).status == status


def test_parts_of_a_pack_add_up_in_order() -> None:
    trials = [Outcome(Assessment(), step) for step in (None, 3, 4)]
    first = PackOutcome((trials[0],), "cpu", resumed_step=2, seconds_before=1.5)
    second = PackOutcome((trials[1], trials[2]), "cpu", resumed_step=5, seconds_before=1.0)
    assert first + second == PackOutcome(tuple(trials), "cpu", 5, 2.5)


def test_failed_pack_has_one_reason_and_was_trained_by_nobody() -> None:
    outcome = failed_pack(2, "lost")
    assert [own.status for own in outcome.trials] == ["failed", "failed"]
    assert {own.assessment.problem for own in outcome.trials} == {"lost"}
    assert {own.trained_together for own in outcome.trials} == {0}
