"""Made-up outcomes have the shape of real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sweep.config.schema import Training
from sweep.grid.packing import Pack
from sweep.grid.rows import wanted_rows
from sweep.grid.trial import Trial
from sweep.pack.monitor import CHECKED_GRID_RADII, CHECKED_NORMS
from sweep.pack.outcome import Outcome
from sweep.pack.simulate import measure
from tests.sweep.helpers import config, info, trials

EVALUATION = replace(config().evaluation, max_samples=None)
ROWS = wanted_rows(EVALUATION, info())
TRAINING = Training(steps=1000, curve_every=400, trace_every=500)


def made(*chosen: Trial) -> tuple[Outcome, ...]:
    return measure(Pack(chosen), info(), ROWS, TRAINING).trials


def long(**changes: object) -> list[Trial]:
    return [replace(trial, steps=1000, **changes) for trial in trials()]


def test_trial_is_the_same_in_any_pack() -> None:
    for together, trial in zip(made(*long()[:2]), long()[:2], strict=True):
        (alone,) = made(trial)
        assert alone.observations == together.observations
        assert alone.curve == together.curve
        assert alone.assessment.accuracy == together.assessment.accuracy


def test_accuracies_are_counts_of_the_samples_and_fall_with_the_radius() -> None:
    few = wanted_rows(replace(EVALUATION, max_samples=10), info())
    for outcome in measure(Pack(tuple(long()[:2])), info(), few, TRAINING).trials:
        assert outcome.assessment.num_samples == {"validation": 10, "test": 10}
        values = np.array([outcome.assessment.accuracy[row.evaluation_id] for row in few])
        assert np.allclose(values * 10, np.round(values * 10))
        assert ((values >= 0) & (values <= 1)).all()
    mean = {
        radius: np.mean(
            [
                own.assessment.accuracy[row.evaluation_id]
                for own in made(*long())
                for row in ROWS
                if row.attack_grid_radius == radius
            ]
        )
        for radius in EVALUATION.attack_grid_radii
    }
    assert mean[0.0] > mean[max(mean)]


def test_row_is_the_same_whatever_else_is_asked_for() -> None:
    (whole,) = made(long()[0])
    for some in (ROWS[::3], ROWS[:1]):
        (part,) = measure(Pack((long()[0],)), info(), some, TRAINING).trials
        ids = [row.evaluation_id for row in some]
        assert part.assessment.accuracy == {one: whole.assessment.accuracy[one] for one in ids}


def test_curve_rises_and_ends_with_the_training() -> None:
    for outcome in made(*long()[:2]):
        assert [step for step, _ in outcome.curve] == [400, 800, 1000]
        assert (np.diff([value for _, value in outcome.curve]) >= 0).all()


def test_observations_are_those_asked_for() -> None:
    plain, checked = long()[0], long(bound_checked=True)[0]
    traced = made(plain)[0].observations
    assert {seen.quantity for seen in traced} <= {"objective", "adversarial_loss"}
    assert [seen.step for seen in traced if seen.quantity == "objective"] == [500, 1000]
    holds = [seen for seen in made(checked)[0].observations if seen.quantity == "bound_holds"]
    assert len(holds) == 2 * len(CHECKED_NORMS) * len(CHECKED_GRID_RADII)
    assert {seen.value for seen in holds} <= {0.0, 1.0}


def test_diverged_trial_measures_nothing() -> None:
    lost = next(
        t
        for seed in range(64)
        for t in long(learning_rate=1.0, seed=seed)
        if int(t.trial_id, 16) % 2
    )
    (outcome,) = made(lost)
    assert outcome.status == "diverged"
    assert all(value is None for _, value in outcome.curve)
    assert all(seen.value is None for seen in outcome.observations)
