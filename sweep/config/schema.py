"""The configuration of a sweep: its schema, by which Hydra rejects unknown keys and wrong types.

`sweep.config.checks` rejects values that make no sense.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sweep import datasets

RANKING = "ranking"
RETRAIN = ("none", "changed", "all")
KEEPS = ("all", "selected", "none")


@dataclass
class Grid:
    """The axes of the sweep; every combination is one trial (nominal has only radius 0)."""

    dataset: list[str] = field(default_factory=list)
    scaling: list[str] = field(default_factory=lambda: ["standardized"])
    network: list[str] = field(default_factory=lambda: ["mlp-3x200"])
    # Names, or mappings with hyperparameters: {name: trades-linf, beta: [1, 6]} stands for two.
    # Composition makes names of them: trades-linf(beta=1), trades-linf(beta=6).
    defense: list[Any] = field(default_factory=lambda: ["nominal"])
    # As in the paper's grid: the expansion multiplies by sqrt(D) where the norm is L1 or L2.
    grid_radius: list[float] = field(default_factory=lambda: [0.1])
    # Of L1 balls to train in: uniform, or catalog, what a data set's entry says that moving each
    # of its features costs. A defense without a ball is trained once.
    costs: list[str] = field(default_factory=lambda: ["uniform"])
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
    # 300 steps of nominal training. The ids of the trials chosen say so; the others keep theirs.
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
    costs: list[str] = field(default_factory=list)  # of L1 balls; []: those of grid.costs
    scale_radii: bool = True  # times sqrt(D) for L1 and L2; false: true radii as they are
    certify: bool = True  # also the certified accuracy at the L1 radii
    certify_tight: bool = False  # also with t optimised, which takes many times longer
    # Certificates by the best of several proofs: certified-l1-best, certified-l2, certified-linf;
    # auto takes those that cost less than a fifth of the other rows, for every trial.
    certificates: list[str] = field(default_factory=lambda: ["auto"])
    nested: bool = False  # do not attack again what was broken at a smaller radius
    engine: str = "packed"  # "foolbox" runs foolbox itself for its six attacks, slowly
    # sweep/strong.py attacks the selected networks at these grid radii, on so many test samples.
    strong_grid_radii: list[float] = field(default_factory=lambda: [0.01, 0.1, 0.3])
    strong_samples: int = 500
    restarts: int | None = None  # of attacks named *-best; null: five
    cuda_graph: bool = False  # on a GPU: record an attack's step and replay it; changes no result
    skip: bool = True  # do not attack what is proven that no attack breaks; changes no result
    max_samples: int | None = None  # at most this many samples of each split; null: all


@dataclass
class Data:
    """Where the data come from."""

    source: str = "bundled"  # of data sets whose entry in the catalog names none
    root: str | None = None  # a folder, for the sources that need one
    catalog: str = "catalog"  # a folder with entries of your own data sets, if it is there
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
class Keep:
    """What is kept of trained networks beside their records."""

    # all; none; or selected: what selection on validation picks, once every trial is recorded.
    networks: str = "all"


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
    # Passwords belong into the environment: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,
    # PGPASSWORD or ~/.pgpass. One that stands here is shown and recorded nowhere (sweep/uri.py).
    uri: str = "sqlite:///mlflow.db"
    # What is logged of each network: full, summary, or auto, which is full up to 5,000 networks.
    detail: str = "auto"


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
    # What other code than today's trained or evaluated: "none" warns and keeps it, "changed" makes
    # it again, "all" makes everything of this grid again.
    retrain: str = "none"
    shows: str = RANKING  # at the end: the ranking of the defenses, or a table by its name
    grid: Grid = field(default_factory=Grid)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)
    data: Data = field(default_factory=Data)
    packing: Packing = field(default_factory=Packing)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    keep: Keep = field(default_factory=Keep)
    ray: Ray = field(default_factory=Ray)
    tracking: Tracking = field(default_factory=Tracking)
    paths: Paths = field(default_factory=Paths)


def data_options(config: SweepConfig) -> datasets.DataOptions:
    """The options that data sets are loaded with."""
    data = config.data
    return datasets.DataOptions(
        data.source, data.root, data.keep_target_column, data.timeout_seconds, data.catalog
    )


def in_balls(evaluation: Evaluation, grid: Grid) -> Evaluation:
    """Return the evaluation with the costs of the grid, where it names none of its own."""
    return replace(evaluation, costs=evaluation.costs or grid.costs)


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
