from __future__ import annotations

from dataclasses import replace

import pytest

from sweep.config import compose
from sweep.config.schema import Evaluation, Training
from sweep.grid.expand import attack_radii, expand, rows_per_trial, true_radius
from tests.sweep.helpers import config, info, infos, trials

# Section 6.1 of the paper, and what its authors ran.
COUNTS = {"uci_full": 36_064, "vision_full": 6_552, "cnn_full": 2_856, "paper_full": 45_472}


@pytest.mark.parametrize(("experiment", "count"), COUNTS.items())
def test_experiment_has_the_papers_number_of_trials(experiment: str, count: int) -> None:
    parts = compose.compose([f"+experiment={experiment}"])
    ids = [trial.trial_id for part in parts for trial in expand(part, infos(part))]
    assert len(ids) == count
    assert len(set(ids)) == count


def test_quickstart_has_128_trials() -> None:
    # 4 data sets x 2 rates x (nominal at radius 0 + 5 defenses x 3 radii)
    (quickstart,) = compose.compose(["+experiment=quickstart"])
    assert len(expand(quickstart, infos(quickstart))) == 4 * 2 * (1 + 5 * 3)


@pytest.mark.parametrize(
    ("norm", "radius"), [("l1", 0.1 * 5), ("l2", 0.1 * 5), ("linf", 0.1), (None, 0.1)]
)
def test_true_radius_is_scaled_by_root_of_features_for_l1_and_l2(
    norm: str | None, radius: float
) -> None:
    assert true_radius(norm, 0.1, num_features=25) == pytest.approx(radius)


def test_train_radius_follows_the_norm_of_the_defense() -> None:
    grid = replace(config().grid, defense=["arub-l1", "rub", "arub-linf", "pgd-linf", "nominal"])
    small = config(grid=grid)
    radii = {t.defense: t.train_radius for t in expand(small, infos(small, num_features=49))}
    expected = {"arub-l1": 0.7, "rub": 0.7, "arub-linf": 0.1, "pgd-linf": 0.1, "nominal": 0.0}
    assert radii == pytest.approx(expected)


def test_attack_radii_can_be_taken_as_they_are() -> None:
    evaluation = Evaluation(attack_grid_radii=[0.0, 2.0])
    assert attack_radii(evaluation, "l2", 9) == (0.0, 6.0)
    assert attack_radii(replace(evaluation, scale_radii=False), "l2", 9) == (0.0, 2.0)


def test_nominal_has_radius_zero_only() -> None:
    grid = replace(config().grid, grid_radius=[0.1, 0.3], defense=["nominal"])
    assert {trial.grid_radius for trial in trials(grid=grid)} == {0.0}


def test_growing_the_grid_keeps_old_ids() -> None:
    small = config()
    grown = replace(small.grid, learning_rate=[1e-2, 1e-3, 1e-4], defense=["nominal", "rub"])
    before = {t.trial_id for t in trials(grid=replace(small.grid, defense=["nominal"]))}
    after = {t.trial_id for t in trials(grid=grown)}
    assert before < after


def test_order_of_the_axes_changes_no_id() -> None:
    grid = config().grid
    backwards = replace(grid, learning_rate=grid.learning_rate[::-1], defense=grid.defense[::-1])
    assert {t.trial_id for t in trials()} == {t.trial_id for t in trials(grid=backwards)}


@pytest.mark.parametrize(
    "changes",
    [
        {"training": Training(steps=4, curve_every=2)},
        {"training": Training(steps=3, curve_every=2, loss="hinge")},
        {"training": Training(steps=3, curve_every=2, tf32=True)},
        {"simulate": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_option_that_changes_weights_changes_every_id(changes: dict[str, object]) -> None:
    assert not {t.trial_id for t in trials()} & {t.trial_id for t in trials(**changes)}


def test_option_that_changes_no_weight_changes_no_id() -> None:
    training = replace(config().training, cuda_graph=True)
    assert {t.trial_id for t in trials()} == {t.trial_id for t in trials(training=training)}


def test_recording_attacks_changes_no_id() -> None:
    evaluation = replace(config().evaluation, cuda_graph=True)
    assert {t.trial_id for t in trials()} == {t.trial_id for t in trials(evaluation=evaluation)}


def test_new_data_change_every_id() -> None:
    small = config()
    other = {key: replace(value, hash="other") for key, value in infos(small).items()}
    assert not {t.trial_id for t in trials()} & {t.trial_id for t in expand(small, other)}


def test_scaling_that_a_data_set_lacks_is_named() -> None:
    small = config(grid=replace(config().grid, scaling=["unit"]))
    facts = {("iris", 0): info(scalings=("standardized",))}
    with pytest.raises(ValueError, match=r"grid.scaling=unit: data set 'iris' has standardized"):
        expand(small, facts)


def test_rows_per_trial_counts_splits_attacks_and_radii() -> None:
    evaluation = Evaluation(attacks=["pgd-l1", "fgm-l2"], attack_grid_radii=[0.0, 1.0, 2.0])
    assert rows_per_trial(evaluation) == 2 * (2 + 1) * 3
    assert rows_per_trial(replace(evaluation, certify=False)) == 2 * 2 * 3
