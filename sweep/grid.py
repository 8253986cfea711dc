"""From a configuration to its trials: pure, and the only place where sqrt(D) is applied."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from robust import defenses
from sweep import schema
from sweep.config import Evaluation, Grid, SweepConfig, Training
from sweep.datasets import DatasetInfo
from sweep.trial import Trial, content_hash

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


def options_hash(config: SweepConfig) -> str:
    """The content hash of the options that change a trial's records and are no axis of the grid.

    Options at null, false or the default loss are left out, so that a new one, off by default,
    renames no trial.
    """
    evaluation, loss = config.evaluation, config.training.loss
    options: dict[str, object] = {
        "loss": loss if loss != Training().loss else None,
        "attacks": sorted(evaluation.attacks),
        "attack_grid_radii": evaluation.attack_grid_radii,
        "unscaled_radii": not evaluation.scale_radii,
        "certify": evaluation.certify,
        "certify_tight": evaluation.certify_tight,
        "nested": evaluation.nested,
        "engine": evaluation.engine if evaluation.engine != Evaluation().engine else None,
        "restarts": evaluation.restarts,
        "max_samples": evaluation.max_samples,
        "keep_target_column": config.data.keep_target_column,
        "curve_every": config.training.curve_every,
        "trace_every": config.training.trace_every or None,
        "tf32": config.training.tf32,
        "simulate": config.simulate,
    }
    given = {key: value for key, value in options.items() if value is not None}
    return content_hash({key: value for key, value in given.items() if value is not False})


def expand(config: SweepConfig, infos: Infos) -> list[Trial]:
    """Every trial of the configuration, in a fixed order.

    Args:
        config: checked by `sweep.config_checks.check`.
        infos: what is known of each (data set, split seed) of the grid.

    Returns:
        One trial per combination; nominal training, which has no ball, only at radius 0.

    Raises:
        ValueError: a scaling that a data set does not have.
    """
    grid = config.grid
    options = options_hash(config)
    trials = []
    for dataset, split_seed, scaling in product(grid.dataset, grid.split_seed, grid.scaling):
        info = infos[dataset, split_seed]
        _check_scaling(info, scaling)
        methods = map(defenses.get, grid.defense)
        for network, method in product(grid.network, methods):
            for grid_radius, train_radius, learning_rate, batch_size, seed in _settings(
                grid, method.norm, info.num_features
            ):
                trials.append(
                    Trial(
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
                        options=options,
                    )
                )
    return trials


def _settings(
    grid: Grid, norm: str | None, num_features: int
) -> Iterator[tuple[float, float, float, int, int]]:
    grid_radii: Sequence[float] = grid.grid_radius if norm is not None else (0.0,)
    for batch_size, seed, grid_radius, learning_rate in product(
        grid.batch_size, grid.seed, grid_radii, grid.learning_rate
    ):
        train_radius = true_radius(norm, grid_radius, num_features)
        yield grid_radius, train_radius, learning_rate, batch_size, seed


def _check_scaling(info: DatasetInfo, scaling: str) -> None:
    if scaling not in info.scalings:
        raise ValueError(
            f"grid.scaling={scaling}: data set {info.name!r} has {', '.join(info.scalings)}"
        )


def rows_per_trial(evaluation: Evaluation) -> int:
    """The number of records of one trial."""
    attacks = len(evaluation.attacks) + evaluation.certify + evaluation.certify_tight
    return len(schema.SPLITS) * attacks * len(evaluation.attack_grid_radii)
