"""The made-up grids: data sets, settings, packs. Nothing here knows of accuracies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from sweep.results.schema import CERTIFIED, CERTIFIED_TIGHT

LEARNING_RATES = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
TRAIN_RADII = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.5, 1.0, 3.0, 5.0, 10.0)
ATTACK_RADII = (
    *(0.0, 0.0002, 0.0005, 0.0008, 0.001, 0.0015, 0.002, 0.003, 0.01, 0.1),
    *(0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0),
)
CNN_RADII = (0.0, 0.01, 0.02, 0.03, 0.1, 1.0, 3.0, 5.0, 10.0)
ATTACKS = {
    "fgm-l2": "l2",
    "pgd-l2": "l2",
    "fgsm-linf": "linf",
    "pgd-linf": "linf",
    "fgm-l1": "l1",
    "pgd-l1": "l1",
}
CERTIFICATES = {CERTIFIED: "l1", CERTIFIED_TIGHT: "l1"}
UCI_DEFENSES = ("nominal", "baseline-linf", "arub-l1", "arub-linf", "pgd-linf", "rub")
VISION_DEFENSES = (*UCI_DEFENSES, "fgsm-linf", "coap-linf")
CNN_DEFENSES = ("nominal", "arub-l1", "arub-linf", "pgd-linf")


@dataclass(frozen=True)
class Task:
    """A data set as the generator sees it: size and number of classes are all it needs."""

    name: str
    num_features: int
    num_classes: int
    num_validation: int
    num_test: int


@dataclass(frozen=True)
class Block:
    """A part of a grid: every combination becomes a trial (one per rate for nominal)."""

    tasks: tuple[Task, ...]
    networks: tuple[str, ...]
    defenses: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    scalings: tuple[str, ...]
    attacks: tuple[str, ...]
    attack_radii: tuple[float, ...] = ATTACK_RADII
    train_radii: tuple[float, ...] = TRAIN_RADII
    learning_rates: tuple[float, ...] = LEARNING_RATES
    steps: int = 5000
    seeds: tuple[int, ...] = (0,)
    scale_attack_radii: bool = True  # by sqrt(D) for L1 and L2; the CNN's radii stay as they are


def rng_of(*parts: object) -> np.random.Generator:
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _uci_tasks(count: int) -> tuple[Task, ...]:
    tasks = []
    for index in range(count):
        rng = rng_of("task", index)
        rows = int(rng.integers(100, 5000))
        features, classes = int(rng.integers(3, 120)), int(rng.integers(2, 11))
        tasks.append(Task(f"uci-{index:02d}", features, classes, rows // 5, rows // 5))
    return tuple(tasks)


VISION_TASKS = (
    Task("MNIST", 784, 10, 1000, 10000),
    Task("Fashion-MNIST", 784, 10, 1000, 10000),
    Task("CIFAR-10", 3072, 10, 1000, 10000),
)


def paper_blocks() -> tuple[Block, ...]:
    """The paper's 45,472 trials: uci_full, vision_full and cnn_full."""
    all_attacks = (*ATTACKS, *CERTIFICATES)
    scalings = ("unit", "standardized")
    return (
        Block(
            _uci_tasks(46),
            ("mlp-3x200", "mlp-1x200"),
            UCI_DEFENSES,
            (256,),
            ("standardized",),
            (*ATTACKS, CERTIFIED),
        ),
        Block(
            VISION_TASKS,
            ("mlp-3x200",),
            VISION_DEFENSES,
            (32, 256),
            scalings,
            all_attacks,
            steps=10000,
        ),
        Block(
            VISION_TASKS,
            ("cnn",),
            CNN_DEFENSES,
            (32, 256),
            scalings,
            ("fgm-l2", "pgd-l2"),
            CNN_RADII,
            steps=10000,
            scale_attack_radii=False,
        ),
    )


def small_blocks() -> tuple[Block, ...]:
    """A quickstart-sized grid: four tabular data sets and MNIST, few radii, two seeds."""
    few = (0.0, 0.001, 0.01, 0.1, 0.3, 1.0, 5.0)
    everything = (*ATTACKS, *CERTIFICATES)
    rates, radii = (1e-2, 1e-3), (0.01, 0.1, 1.0)
    tabular = Block(
        _uci_tasks(4),
        ("mlp-3x200",),
        UCI_DEFENSES,
        (256,),
        ("standardized",),
        everything,
        few,
        radii,
        rates,
        seeds=(0, 1),
    )
    vision = Block(
        VISION_TASKS[:1],
        ("mlp-3x200",),
        VISION_DEFENSES,
        (32,),
        ("unit", "standardized"),
        everything,
        few,
        radii,
        rates,
    )
    cnn = Block(
        VISION_TASKS[:1],
        ("cnn",),
        CNN_DEFENSES,
        (32,),
        ("standardized",),
        ("pgd-l2",),
        CNN_RADII,
        radii,
        rates,
        scale_attack_radii=False,
    )
    return (tabular, vision, cnn)


def dozen_blocks() -> tuple[Block, ...]:
    """The 936 trials of uci_small: twelve tabular data sets, whose tests of ranks are exact."""
    return (
        Block(
            _uci_tasks(12),
            ("mlp-3x200",),
            UCI_DEFENSES,
            (32,),
            ("standardized",),
            (*ATTACKS, CERTIFIED),
            (0.0, 0.001, 0.01, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0),
            (1e-3, 1e-2, 0.1, 0.3, 1.0),
            (1e-2, 1e-3, 1e-4),
            steps=500,
        ),
    )


SIZES: dict[str, Callable[[], tuple[Block, ...]]] = {
    "paper": paper_blocks,
    "dozen": dozen_blocks,
    "small": small_blocks,
}


@dataclass(frozen=True)
class Pack:
    """The trials of one data set, network, defense, batch size, scaling and seed."""

    task: Task
    network: str
    defense: str
    batch_size: int
    scaling: str
    seed: int
    block: Block

    @property
    def pack_id(self) -> str:
        """A content hash of what the pack is."""
        parts = (self.task.name, self.network, self.defense, self.batch_size, self.scaling)
        return hashlib.sha256("|".join(map(str, (*parts, self.seed))).encode()).hexdigest()[:16]

    def settings(self) -> tuple[np.ndarray, np.ndarray]:
        """Return grid radii and learning rates of the trials, both (T,)."""
        radii = (0.0,) if self.defense == "nominal" else self.block.train_radii
        grid = np.array([(r, lr) for r in radii for lr in self.block.learning_rates])
        return grid[:, 0], grid[:, 1]


def packs(blocks: tuple[Block, ...]) -> Iterator[Pack]:
    """Yield the packs of a grid in a fixed order."""
    for b in blocks:
        axes = (b.tasks, b.networks, b.defenses, b.batch_sizes, b.scalings, b.seeds)
        for values in product(*axes):
            yield Pack(*values, block=b)


def trial_ids(pack: Pack) -> list[str]:
    """Return the content hashes of the pack's trials, in the order of `settings`."""
    radii, rates = pack.settings()
    return [
        hashlib.sha256(f"{pack.pack_id}|{r!r}|{lr!r}".encode()).hexdigest()[:16]
        for r, lr in zip(radii.tolist(), rates.tolist(), strict=True)
    ]
