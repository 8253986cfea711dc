"""Which values of a configuration make sense: names, limits, combinations."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from robust import attacks, defenses, networks
from robust.evaluate import BEST_CERTIFICATES, CERTIFIED, CERTIFIED_TIGHT, ENGINES
from robust.losses import LOSSES
from robust.registry import CATALOG, COSTS, UNIFORM, is_weighted
from robust.supports import supports
from sweep import datasets, files
from sweep.config.balls import measured, trained
from sweep.config.schema import KEEPS, RETRAIN, Data, Ray, SweepConfig, data_options
from sweep.datasets.loading import check_name as check_dataset
from sweep.errors import unknown
from sweep.limits import LARGEST, LARGEST_INT, SMALLEST, out_of_range
from sweep.tracking import detail

AUTO = "auto"  # of evaluation.certificates: those that are cheap (sweep.driver.plan)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST_NAME = 200  # file systems allow 255 bytes


def check(config: SweepConfig) -> None:
    """Refuse values that make no sense.

    Raises:
        ValueError: one line naming the key, the value and what is allowed.
    """
    if config.name is not None and not _is_name(config.name):
        raise ValueError(
            f"name={config.name!r}: must be letters, digits, '_', '-' or '.', at most "
            f"{_LONGEST_NAME} of them, as it names a folder"
        )
    if config.retrain not in RETRAIN:
        raise ValueError(f"retrain={config.retrain}: must be one of {', '.join(RETRAIN)}")
    _check_results(config)
    _check_catalog(config.data)
    _check_names(config)
    _check_lists(config)
    for key, (values, allowed, is_allowed) in _numbers(config).items():
        for value in values:
            if not is_allowed(value):
                raise ValueError(f"{key}={value}: must be {allowed}")
    radii = config.evaluation.attack_grid_radii
    if any(b <= a for a, b in zip(radii, radii[1:], strict=False)):
        raise ValueError(f"evaluation.attack_grid_radii={radii}: must be strictly increasing")
    _check_support(config)
    _check_ray(config.ray)


def _check_names(config: SweepConfig) -> None:
    checks: dict[str, tuple[Sequence[object], Callable[[str], object]]] = {
        "grid.dataset": (
            config.grid.dataset,
            lambda name: check_dataset(name, data_options(config)),
        ),
        "grid.scaling": (config.grid.scaling, _check_scaling),
        "grid.network": (config.grid.network, networks.check_name),
        "grid.defense": (config.grid.defense, defenses.get),
        "grid.costs": (config.grid.costs, _check_costs),
        "evaluation.costs": (config.evaluation.costs, _check_costs),
        "training.loss": ([config.training.loss], LOSSES.get),
        "evaluation.attacks": (config.evaluation.attacks, attacks.get),
        "evaluation.certificates": (config.evaluation.certificates, _check_certificate),
        "evaluation.engine": ([config.evaluation.engine], _check_engine),
        "tracking.detail": ([config.tracking.detail], detail.check),
        "keep.networks": ([config.keep.networks], _check_keep),
    }
    for key, (values, check_name) in checks.items():
        for value in values:
            try:
                check_name(str(value))
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None


def _check_lists(config: SweepConfig) -> None:
    lists = {f"grid.{axis}": values for axis, values in vars(config.grid).items()}
    lists["grid.defense"] = [defenses.get(name).name for name in config.grid.defense]
    lists["evaluation.costs"] = config.evaluation.costs or [UNIFORM]  # []: those of the grid
    for name in ("attacks", "attack_grid_radii", "strong_grid_radii"):
        lists[f"evaluation.{name}"] = getattr(config.evaluation, name)
    for key, values in lists.items():
        if not values:
            raise ValueError(f"{key}=[]: must name at least one value")
        repeated = [value for value in dict.fromkeys(values) if values.count(value) > 1]
        if repeated:
            raise ValueError(f"{key}: {repeated[0]!r} is given twice; each value may occur once")


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and len(text) <= _LONGEST_NAME


def _check_results(config: SweepConfig) -> None:
    """Records lie in a folder of this machine, or of one that all machines see."""
    results = config.paths.results
    reason = files.why_no_folder(results)
    if reason is not None:
        raise ValueError(f"paths.results={results}: {reason}, as in paths.results=/path/to/folder")
    whole = (Path(results) / str(config.name)).absolute()
    for place in (whole, *whole.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(
                f"paths.results={results}: cannot be written ({place} is no folder); "
                "give a folder that can, as in paths.results=/path/to/folder"
            )


def _check_support(config: SweepConfig) -> None:
    """Refuse networks with a defense or a certificate that is not made for them."""
    certificates = {
        CERTIFIED: ("evaluation.certify", config.evaluation.certify),
        CERTIFIED_TIGHT: ("evaluation.certify_tight", config.evaluation.certify_tight),
    }
    for network in config.grid.network:
        for defense in (method.name for method in trained(config.grid)):
            if not (answer := supports(network, defense)):
                raise ValueError(f"grid.defense={defense}: {answer.reason}")
        for attack in config.evaluation.attacks:
            _check_measured(config, network, attack, f"evaluation.attacks={attack}")
        for name in config.evaluation.certificates:
            if name != AUTO:
                _check_measured(config, network, name, f"evaluation.certificates={name}")
        for certificate, (key, asked) in certificates.items():
            if asked:
                _check_measured(config, network, certificate, f"{key}=true")


def _check_measured(config: SweepConfig, network: str, name: str, key: str) -> None:
    """Refuse an attack or certificate that is not made for a network, in every ball asked for."""
    for ball in measured([name], config.evaluation):
        if not (answer := supports(network, ball)):
            where = f"evaluation.costs={CATALOG}, {key}" if is_weighted(ball) else key
            raise ValueError(f"{where}: {answer.reason}")


def _check_costs(name: str) -> None:
    if name not in COSTS:
        raise ValueError(unknown("costs", name, COSTS))


def _check_catalog(data: Data) -> None:
    """Refuse a folder of own entries that was named and is not there."""
    folder = datasets.DataOptions(catalog=data.catalog).catalog  # with ~ expanded
    if data.catalog != Data.catalog and not Path(str(folder)).is_dir():
        raise ValueError(
            f"data.catalog={data.catalog}: is not a folder; allowed: a folder with an entry for "
            "each data set, as `robust-sweep data check` writes them"
        )


def _check_certificate(name: str) -> None:
    known = (AUTO, *BEST_CERTIFICATES)
    if name not in known:
        raise ValueError(unknown("certificate", name, known))


def _check_scaling(name: str) -> None:
    known = ("standardized", "unit")
    if name not in known:
        raise ValueError(unknown("scaling", name, known))


def _check_engine(name: str) -> None:
    if name not in ENGINES:
        raise ValueError(unknown("engine", name, ENGINES))


def _check_keep(name: str) -> None:
    if name not in KEEPS:
        raise ValueError(unknown("choice", name, KEEPS))


Number = int | float
_Limits = tuple[Sequence[Number], str, Callable[[Number], bool]]


def _numbers(config: SweepConfig) -> dict[str, _Limits]:
    """Key -> its values, what is allowed in words, and whether a value is allowed."""
    grid, evaluation, ray = config.grid, config.evaluation, config.ray
    positive = ("a positive number", lambda v: math.isfinite(v) and v > 0)
    not_negative = ("a number >= 0", lambda v: math.isfinite(v) and v >= 0)
    radius = (
        f"a number >= 0 that float32 holds, 0 or {SMALLEST:.2g} to {LARGEST:.2g}",
        lambda v: out_of_range(v) is None,
    )
    rate = (
        f"a positive number that float32 holds, {SMALLEST:.2g} to {LARGEST:.2g}",
        lambda v: v > 0 and out_of_range(v) is None,
    )
    count = (f"an integer >= 1 and at most {LARGEST_INT}", lambda v: 1 <= v <= LARGEST_INT)
    natural = (f"an integer >= 0 and at most {LARGEST_INT}", lambda v: 0 <= v <= LARGEST_INT)
    share = ("a number from 0 to 1", lambda v: 0 <= v <= 1)

    def given(value: Number | None) -> list[Number]:
        return [] if value is None else [value]

    return {
        "grid.grid_radius": (grid.grid_radius, *radius),
        "grid.learning_rate": (grid.learning_rate, *rate),
        "grid.batch_size": (grid.batch_size, *count),
        "grid.seed": (grid.seed, *natural),
        "grid.split_seed": (grid.split_seed, *natural),
        "training.steps": ([config.training.steps], *count),
        "training.curve_every": ([config.training.curve_every], *natural),
        "training.bound_checks": ([config.training.bound_checks], *share),
        "training.trace_every": ([config.training.trace_every], *natural),
        "evaluation.strong_grid_radii": (evaluation.strong_grid_radii, *rate),
        "evaluation.strong_samples": ([evaluation.strong_samples], *count),
        "evaluation.restarts": (given(evaluation.restarts), *count),
        "evaluation.attack_grid_radii": (evaluation.attack_grid_radii, *radius),
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


def _check_ray(ray: Ray) -> None:
    if ray.address is not None and (ray.num_cpus is not None or ray.num_gpus is not None):
        raise ValueError(
            f"ray.address={ray.address}: ray.num_cpus and ray.num_gpus size a local Ray only; "
            "leave them null when joining a cluster"
        )
