"""The configuration of a sweep: its schema, its limits and its checks.

The schema rejects unknown keys and wrong types when Hydra composes; `check` rejects values that
make no sense, before anything is trained.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from robust import attacks, defenses, networks
from robust.evaluate import ENGINES
from robust.losses import LOSSES
from sweep import datasets

RANKING = "ranking"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass
class Grid:
    """The axes of the sweep; every combination is one trial (nominal has only radius 0)."""

    dataset: list[str] = field(default_factory=list)
    scaling: list[str] = field(default_factory=lambda: ["standardized"])
    network: list[str] = field(default_factory=lambda: ["mlp-3x200"])
    defense: list[str] = field(default_factory=lambda: ["nominal"])
    # As in the paper's grid: sweep/grid.py multiplies by sqrt(D) where the norm is L1 or L2.
    grid_radius: list[float] = field(default_factory=lambda: [0.1])
    learning_rate: list[float] = field(default_factory=lambda: [1e-3])
    batch_size: list[int] = field(default_factory=lambda: [256])
    seed: list[int] = field(default_factory=lambda: [0])
    split_seed: list[int] = field(default_factory=lambda: [0])


@dataclass
class Training:
    """How each network is trained."""

    steps: int = 5000  # optimizer updates
    loss: str = "cross-entropy"
    curve_every: int = 500  # steps between two points of the validation curve; 0 for none
    # Share of trials, chosen by the hash of their ids, on which aRUB's bound is compared with PGD
    # at Table 1's radii, whenever the curve has a point. A check of 22 balls costs as much as
    # 300 steps of nominal training. It changes no network, so it is no part of a trial's id.
    bound_checks: float = 0.0
    trace_every: int = 0  # steps between two points of Figure 1's losses; 0 for none
    cuda_graph: bool = False  # on a GPU: record a step once and replay it; changes no network
    tf32: bool = False  # on a GPU: round factors of products in training to ten bits


@dataclass
class Evaluation:
    """How each network is evaluated, on the validation and the test split."""

    attacks: list[str] = field(
        default_factory=lambda: [
            *("pgd-l1", "pgd-l2", "pgd-linf", "fgm-l1", "fgm-l2", "fgsm-linf"),  # the paper's
            "vertex-l1",
        ]
    )
    attack_grid_radii: list[float] = field(
        default_factory=lambda: [
            *(0.0, 0.0002, 0.0005, 0.0008, 0.001, 0.0015, 0.002, 0.003, 0.01, 0.1),
            *(0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0),
        ]
    )
    scale_radii: bool = True  # times sqrt(D) for L1 and L2; false: true radii as they are
    certify: bool = True  # also the certified accuracy at the L1 radii
    certify_tight: bool = False  # also with t optimised, which takes many times longer
    nested: bool = False  # do not attack again what was broken at a smaller radius
    engine: str = "packed"  # "foolbox" runs foolbox itself for its six attacks, slowly
    # sweep/strong.py attacks the selected networks at these grid radii, on so many test samples.
    strong_grid_radii: list[float] = field(default_factory=lambda: [0.01, 0.1, 0.3])
    strong_samples: int = 500
    restarts: int | None = None  # of attacks named *-best; null: five
    max_samples: int | None = None  # at most this many samples of each split; null: all


@dataclass
class Data:
    """Where the data come from."""

    source: str = "bundled"
    root: str | None = None  # a folder, for the sources that need one
    keep_target_column: bool = False  # reproduce the leak of the released UCI files
    timeout_seconds: float = 60.0  # of a server's silence, after which a download is tried again


@dataclass
class Packing:
    """How many trials are trained together."""

    max_trials: int = 77
    max_memory_gb: float | None = None  # per pack; null: 80% of its share of this machine's


@dataclass
class Checkpoint:
    """How far the training of a pack has come is saved, for when its process dies."""

    every_seconds: float | None = 300.0  # or longer, so that it takes 1% of the time; null: never


@dataclass
class Ray:
    """Where packs run."""

    address: str | None = None  # null starts a local Ray; "auto" or host:port joins a cluster
    num_cpus: int | None = None  # of a local Ray; null: all cores
    num_gpus: int | None = None  # of a local Ray; null: all GPUs
    cpus_per_pack: int = 1  # also the threads of each pack
    gpus_per_pack: float | None = None  # null: half a GPU where there is one
    max_failures: int = 3  # retries of a pack whose worker or node dies


@dataclass
class Tracking:
    """MLflow."""

    enabled: bool = True
    uri: str = "sqlite:///mlflow.db"


@dataclass
class Paths:
    """Every folder that a sweep writes to."""

    results: str = "results"


@dataclass
class SweepConfig:
    """One sweep."""

    name: str | None = None  # null: the experiment's name
    include: list[str] = field(default_factory=list)  # run these experiments as one sweep
    dry_run: bool = False  # print what would run, train nothing
    debug: bool = False  # a tiny, loud run in one process
    simulate: bool = False  # made-up records in place of training
    shows: str = RANKING  # at the end: the ranking of the defenses, or a table by its name
    grid: Grid = field(default_factory=Grid)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    data: Data = field(default_factory=Data)
    packing: Packing = field(default_factory=Packing)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    ray: Ray = field(default_factory=Ray)
    tracking: Tracking = field(default_factory=Tracking)
    paths: Paths = field(default_factory=Paths)


def data_options(config: SweepConfig) -> datasets.DataOptions:
    """The options that data sets are loaded with."""
    data = config.data
    return datasets.DataOptions(
        data.source, data.root, data.keep_target_column, data.timeout_seconds
    )


def unknown(what: str, value: str, known: Iterable[str]) -> str:
    """One line that says which name is unknown, which may be meant, and which are known."""
    known = list(known)
    close = difflib.get_close_matches(value, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {what} {value!r}{hint}; known: {', '.join(known)}"


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


def debugged(config: SweepConfig) -> SweepConfig:
    """The same sweep cut down to a few trials, few steps and few samples."""
    grid = Grid(**{axis: values[:2] for axis, values in vars(config.grid).items()})
    training, evaluation = config.training, config.evaluation
    return replace(
        config,
        name=f"{config.name}_debug",
        grid=replace(grid, dataset=grid.dataset[:1]),
        training=replace(training, steps=min(training.steps, 20), curve_every=10),
        evaluation=replace(
            evaluation,
            attacks=evaluation.attacks[:2],
            attack_grid_radii=evaluation.attack_grid_radii[:3],
            max_samples=32,
        ),
    )
