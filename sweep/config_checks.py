"""Which values of a configuration make sense: names, limits, combinations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from robust import attacks, defenses, networks
from robust.evaluate import ENGINES
from robust.losses import LOSSES
from sweep import datasets
from sweep.config import RANKING, Data, Ray, SweepConfig
from sweep.errors import unknown

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check(config: SweepConfig) -> None:
    """Refuse values that make no sense.

    Raises:
        ValueError: one line naming the key, the value and what is allowed.
    """
    if config.name is not None and _NAME.fullmatch(config.name) is None:
        raise ValueError(
            f"name={config.name!r}: must be letters, digits, '_', '-' or '.', as it names a folder"
        )
    _check_names(config)
    for key, (values, allowed, is_allowed) in _numbers(config).items():
        for value in values:
            if not is_allowed(value):
                raise ValueError(f"{key}={value}: must be {allowed}")
    radii = config.evaluation.attack_grid_radii
    if any(b <= a for a, b in zip(radii, radii[1:], strict=False)):
        raise ValueError(f"evaluation.attack_grid_radii={radii}: must be strictly increasing")
    if config.evaluation.certify_tight and "cnn" in config.grid.network:
        raise ValueError(
            "evaluation.certify_tight=true: is not made for network 'cnn'; leave it false there"
        )
    _check_ray(config.ray)
    _check_shown(config.shows)


def _check_names(config: SweepConfig) -> None:
    checks: dict[str, tuple[Sequence[object], Callable[[str], object]]] = {
        "grid.dataset": (config.grid.dataset, lambda name: _check_dataset(name, config.data)),
        "grid.scaling": (config.grid.scaling, _check_scaling),
        "grid.network": (config.grid.network, networks.check_name),
        "grid.defense": (config.grid.defense, defenses.get),
        "training.loss": ([config.training.loss], LOSSES.get),
        "evaluation.attacks": (config.evaluation.attacks, attacks.get),
        "evaluation.engine": ([config.evaluation.engine], _check_engine),
    }
    for key, (values, check_name) in checks.items():
        for value in values:
            try:
                check_name(str(value))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
    lists = {f"grid.{axis}": values for axis, values in vars(config.grid).items()}
    lists["grid.defense"] = [defenses.get(name).name for name in config.grid.defense]
    lists["evaluation.attacks"] = config.evaluation.attacks
    lists["evaluation.attack_grid_radii"] = config.evaluation.attack_grid_radii
    for key, values in lists.items():
        if not values:
            raise ValueError(f"{key}=[]: must name at least one value")
        repeated = [value for value in dict.fromkeys(values) if values.count(value) > 1]
        if repeated:
            raise ValueError(f"{key}: {repeated[0]!r} is given twice; each value may occur once")


def _check_dataset(name: str, data: Data) -> None:
    known = datasets.names(data.source, data.root)
    if name not in known:
        raise ValueError(unknown(f"data set of source {data.source!r}", name, known))


def _check_scaling(name: str) -> None:
    known = ("standardized", "unit")
    if name not in known:
        raise ValueError(unknown("scaling", name, known))


def _check_engine(name: str) -> None:
    if name not in ENGINES:
        raise ValueError(unknown("engine", name, ENGINES))


Number = int | float
_Limits = tuple[Sequence[Number], str, Callable[[Number], bool]]


def _numbers(config: SweepConfig) -> dict[str, _Limits]:
    """Key -> its values, what is allowed in words, and whether a value is allowed."""
    grid, evaluation, ray = config.grid, config.evaluation, config.ray
    positive = ("a positive number", lambda v: math.isfinite(v) and v > 0)
    not_negative = ("a number >= 0", lambda v: math.isfinite(v) and v >= 0)
    count = ("an integer >= 1", lambda v: v >= 1)
    natural = ("an integer >= 0", lambda v: v >= 0)
    share = ("a number from 0 to 1", lambda v: 0 <= v <= 1)

    def given(value: Number | None) -> list[Number]:
        return [] if value is None else [value]

    return {
        "grid.grid_radius": (grid.grid_radius, *not_negative),
        "grid.learning_rate": (grid.learning_rate, *positive),
        "grid.batch_size": (grid.batch_size, *count),
        "grid.seed": (grid.seed, *natural),
        "grid.split_seed": (grid.split_seed, *natural),
        "training.steps": ([config.training.steps], *count),
        "training.curve_every": ([config.training.curve_every], *natural),
        "training.bound_checks": ([config.training.bound_checks], *share),
        "training.trace_every": ([config.training.trace_every], *natural),
        "evaluation.strong_grid_radii": (evaluation.strong_grid_radii, *positive),
        "evaluation.strong_samples": ([evaluation.strong_samples], *count),
        "evaluation.restarts": (given(evaluation.restarts), *count),
        "evaluation.attack_grid_radii": (evaluation.attack_grid_radii, *not_negative),
        "evaluation.max_samples": (given(evaluation.max_samples), *count),
        "packing.max_trials": ([config.packing.max_trials], *count),
        "packing.max_memory_gb": (given(config.packing.max_memory_gb), *positive),
        "data.timeout_seconds": ([config.data.timeout_seconds], *positive),
        "checkpoint.every_seconds": (given(config.checkpoint.every_seconds), *positive),
        "ray.num_cpus": (given(ray.num_cpus), *count),
        "ray.num_gpus": (given(ray.num_gpus), *natural),
        "ray.cpus_per_pack": ([ray.cpus_per_pack], *count),
        "ray.gpus_per_pack": (given(ray.gpus_per_pack), *not_negative),
        "ray.max_failures": ([ray.max_failures], *natural),
    }


def _check_shown(name: str) -> None:
    if name == RANKING:
        return
    from analysis.artifact import tables  # takes seconds, and most experiments show the ranking

    if name not in tables():
        raise ValueError(unknown("table", name, [RANKING, *tables()]).replace("unknown", "shows:"))


def _check_ray(ray: Ray) -> None:
    if ray.address is not None and (ray.num_cpus is not None or ray.num_gpus is not None):
        raise ValueError(
            f"ray.address={ray.address}: ray.num_cpus and ray.num_gpus size a local Ray only; "
            "leave them null when joining a cluster"
        )
