"""From a configuration to its trials: pure, and the only place where sqrt(D) is applied."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from robust.supports import takes
from sweep.config.balls import trained
from sweep.config.schema import Evaluation, Grid, SweepConfig
from sweep.datasets import DatasetInfo
from sweep.grid import costs
from sweep.grid.options import attack_norm, evaluated_attacks, training_options
from sweep.grid.trial import Trial
from sweep.hashing import canonical
from sweep.limits import out_of_range
from sweep.results import schema

Infos = Mapping[tuple[str, int], DatasetInfo]  # by data set and split seed

# The ball of a vector in R^D grows with D in these norms, so the paper's grid is multiplied.
_SCALED_NORMS = ("l1", "l2")


def true_radius(norm: str | None, grid_radius: float, num_features: int) -> float:
    """The radius in the scaled input space: grid_radius * sqrt(D) for L1 and L2 (section 6.1)."""
    return grid_radius * math.sqrt(num_features) if norm in _SCALED_NORMS else grid_radius


def attack_radii(evaluation: Evaluation, norm: str, num_features: int) -> tuple[float, ...]:
    """The true radii at which networks are attacked in this norm."""
    if not evaluation.scale_radii:
        return tuple(evaluation.attack_grid_radii)
    return tuple(true_radius(norm, r, num_features) for r in evaluation.attack_grid_radii)


def expand(config: SweepConfig, infos: Infos) -> list[Trial]:
    """Every trial of the configuration, in a fixed order.

    Args:
        config: checked by `sweep.config.checks.check`.
        infos: what is known of each (data set, split seed) of the grid.

    Returns:
        One trial per combination; nominal training, which has no ball, only at radius 0.

    Raises:
        ValueError: a data set lacks a scaling, cannot be had by a network, or has so many
            features that a true radius is out of range.
    """
    grid = config.grid
    trials = []
    for dataset, split_seed, scaling in product(grid.dataset, grid.split_seed, grid.scaling):
        info = infos[dataset, split_seed]
        _check_scaling(info, scaling)
        _check_networks(info, grid.network)
        _check_attack_radii(info, config.evaluation)
        methods = trained(grid)
        costs.check(info, methods, config.evaluation)
        for network, method in product(grid.network, methods):
            options = canonical(training_options(config, method, info))
            for grid_radius, train_radius, learning_rate, batch_size, seed in _settings(
                grid, method.norm, info.num_features
            ):
                _check_train_radius(method.name, grid_radius, train_radius)
                trial = Trial(
                    dataset=dataset,
                    dataset_hash=info.hash,
                    scaling=scaling,
                    network=network,
                    defense=method.name,
                    grid_radius=grid_radius,
                    train_radius=train_radius,
                    learning_rate=learning_rate,
                    batch_size=batch_size,
                    steps=config.training.steps,
                    seed=seed,
                    split_seed=split_seed,
                    training_options=options,
                )
                chosen = _is_chosen(trial, config.training.bound_checks)
                trials.append(with_check(trial) if chosen else trial)
    return trials


def with_check(trial: Trial) -> Trial:
    """The same trial with its bound checked while it trains."""
    return replace(trial, bound_checked=True)


def _is_chosen(trial: Trial, share: float) -> bool:
    """Whether a trial is among the share of trials whose bound is checked (Table 1).

    By its id, so a share that grows keeps whom it had.
    """
    return share > 0 and int(trial.trial_id, 16) < int(share * 16 ** len(trial.trial_id))


def _settings(
    grid: Grid, norm: str | None, num_features: int
) -> Iterator[tuple[float, float, float, int, int]]:
    grid_radii: Sequence[float] = grid.grid_radius if norm is not None else (0.0,)
    for batch_size, seed, grid_radius, learning_rate in product(
        grid.batch_size, grid.seed, grid_radii, grid.learning_rate
    ):
        grid_radius += 0.0  # -0.0 is 0
        train_radius = true_radius(norm, grid_radius, num_features)
        yield grid_radius, train_radius, learning_rate, batch_size, seed


def _check_scaling(info: DatasetInfo, scaling: str) -> None:
    if scaling not in info.scalings:
        raise ValueError(
            f"grid.scaling={scaling}: data set {info.name!r} has {', '.join(info.scalings)}"
        )


def _check_networks(info: DatasetInfo, names: Sequence[str]) -> None:
    for name in names:
        if not (answer := takes(name, info.input_shape)):
            raise ValueError(f"grid.network={name}: data set {info.name!r} {answer.reason}")


def _check_train_radius(defense: str, grid_radius: float, train_radius: float) -> None:
    reason = out_of_range(train_radius)
    if reason is not None:
        raise ValueError(
            f"grid.grid_radius={grid_radius}: defense {defense!r} trains at the true radius "
            f"{train_radius:g}, which {reason}"
        )


def _check_attack_radii(info: DatasetInfo, evaluation: Evaluation) -> None:
    for name in evaluated_attacks(evaluation):
        for radius in attack_radii(evaluation, attack_norm(name), info.num_features):
            reason = out_of_range(radius)
            if reason is not None:
                raise ValueError(
                    f"evaluation.attack_grid_radii={evaluation.attack_grid_radii}: attack "
                    f"{name!r} has the true radius {radius:g} on data set {info.name!r}, which "
                    f"{reason}"
                )


def rows_per_trial(evaluation: Evaluation) -> int:
    """The number of records of one trial."""
    attacks = evaluated_attacks(evaluation)
    return len(schema.SPLITS) * len(attacks) * len(evaluation.attack_grid_radii)
