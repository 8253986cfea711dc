"""Hours that the paper's experiments take on this device, from a short calibration.

    python -m benchmarks.grid_cost [--device cuda] [--pack 4] [--experiment paper_full ...]

For each (defense, network, data shape) one pack is timed for a moment; its share of the matmul
peak is applied to every data set of the nearest shape. The floor is the FLOP count at peak.
Needs torch and numpy only.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.throughput import IMAGE_SHAPES, packed_step
from robust import networks
from robust.evaluate import evaluate
from sweep.cost.model import evaluation_flops, training_flops

NAMES_OF_FIVE = ("baseline-linf", "arub-l1", "arub-linf", "pgd-linf", "rub")
RATES, RADII = 7, 11
UCI_SHAPES = ((5, 2), (20, 4), (65, 10), (279, 13))
CALIBRATION_SECONDS = 0.3
PACK = {"cuda": 77, "cpu": 4}  # a CPU is busy with few networks


@dataclass(frozen=True)
class Evaluated:
    """What every network is evaluated with, and at how many radii."""

    attacks: tuple[str, ...]
    radii: int


OF_MLPS = Evaluated(
    ("pgd-l1", "pgd-l2", "pgd-linf", "fgm-l1", "fgm-l2", "fgsm-linf", "vertex-l1", "certified-l1"),
    20,
)
EVALUATED = {"uci_full": OF_MLPS, "vision_full": OF_MLPS, "cnn_full": Evaluated(("pgd-l2",), 9)}
WHOLE = "paper_full"  # all of them


@dataclass(frozen=True)
class Cell:
    """Trials that differ only in radius and learning rate."""

    experiment: str
    defense: str
    network: str
    features: int
    classes: int
    batch: int
    steps: int
    train: int
    evaluated: int  # validation and test examples
    trials: int


@dataclass(frozen=True)
class Cost:
    """Seconds of an experiment: the floor at the matmul peak, and as calibrated."""

    floor: float
    training: float
    evaluation: float


def cells(experiment: str) -> Iterator[Cell]:
    """Yield the cells of one of the paper's grids, or of all (design of section 6.1)."""
    if experiment == WHOLE:
        for part in EVALUATED:
            yield from cells(part)
        return
    kind = "uci" if experiment == "uci_full" else "vision"
    for row in _shapes(kind):
        rows, features, classes = (int(row[key]) for key in ("rows", "features", "classes"))
        test = 10_000 if kind == "vision" else rows // 5
        validation = 1_000 if kind == "vision" else (rows - test) // 4
        for defense, network, batch, copies in _settings(experiment):
            yield Cell(
                experiment=experiment,
                defense=defense,
                network=network,
                features=features,
                classes=classes,
                batch=batch,
                steps=5_000 if kind == "uci" else 10_000,
                train=rows - test - validation,
                evaluated=test + validation,
                trials=copies * RATES * (1 if defense == "nominal" else RADII),
            )


def _shapes(kind: str) -> list[dict[str, str]]:
    text = (Path(__file__).parent / "shapes.csv").read_text(encoding="utf-8")
    return [row for row in csv.DictReader(text.splitlines()) if row["kind"] == kind]


def _size(network: str, features: int, classes: int) -> networks.NetworkSize:
    return networks.size(network, features, classes, IMAGE_SHAPES.get(features))


def _settings(experiment: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield defense, network, batch size and how many scalings."""
    defenses = {
        "uci_full": ("nominal", *NAMES_OF_FIVE),
        "vision_full": ("nominal", *NAMES_OF_FIVE, "fgsm-linf", "coap-linf"),
        "cnn_full": ("nominal", "arub-l1", "arub-linf", "pgd-linf"),
    }[experiment]
    for defense in defenses:
        if experiment == "uci_full":
            yield defense, "mlp-3x200", 256, 1
            yield defense, "mlp-1x200", 256, 1
        else:
            for batch in (32, 256):
                yield defense, "cnn" if experiment == "cnn_full" else "mlp-3x200", batch, 2


class Calibration:
    """Measured rates in FLOP/s, each taken once."""

    def __init__(self, device: str, pack: int, record: bool = False) -> None:
        self.device, self.pack, self.record = device, pack, record
        self.peak = machine.matmul_peak(device)
        self.rates: dict[tuple[object, ...], float] = {}

    def training(self, cell: Cell) -> float:
        """Return the rate at which packs like this cell's train."""
        features, classes = self._nearest(cell)
        key = ("train", cell.defense, cell.network, features, classes, cell.batch)
        if key not in self.rates:
            pack = min(self.pack, cell.trials)
            step = packed_step(
                cell.defense,
                features,
                classes,
                cell.batch,
                pack,
                self.device,
                cell.network,
                self.record,
            )
            taken = machine.seconds(step, self.device, CALIBRATION_SECONDS)
            size = _size(cell.network, features, classes)
            flops = training_flops(cell.defense, size, cell.batch, 1, cell.batch)
            self.rates[key] = pack * flops / taken
        return self.rates[key]

    def evaluation(self, cell: Cell) -> float:
        """Return the rate at which networks like this cell's are evaluated."""
        features, classes = self._nearest(cell)
        key = ("evaluate", cell.network, features, classes)
        if key not in self.rates:
            attacks = EVALUATED[cell.experiment].attacks
            self.rates[key] = self._evaluate(attacks, cell.network, features, classes)
        return self.rates[key]

    def _evaluate(
        self,
        attacks: tuple[str, ...],
        network: str,
        features: int,
        classes: int,
        examples: int = 64,
    ) -> float:
        shape = IMAGE_SHAPES.get(features)
        net = networks.build(network, features, classes, 2, seed=0, input_shape=shape)
        net = net.to(self.device)
        x = torch.randn(examples, features, device=self.device)
        y = net(x)[0].argmax(dim=1)  # what is classified correctly is attacked
        radii = torch.tensor([0.01, 0.1], device=self.device)

        def run() -> None:
            for attack in attacks:
                evaluate(net, x, y, attack=attack, radii=radii)

        taken = machine.seconds(run, self.device, CALIBRATION_SECONDS)
        size = _size(network, features, classes)
        return 2 * evaluation_flops(size, attacks, len(radii), examples) / taken

    @staticmethod
    def _nearest(cell: Cell) -> tuple[int, int]:
        if cell.experiment != "uci_full":
            return cell.features, cell.classes
        size = _size(cell.network, cell.features, cell.classes).products * cell.classes
        return min(
            UCI_SHAPES,
            key=lambda s: abs(_size(cell.network, *s).products * s[1] - size),
        )


def cost(experiment: str, calibration: Calibration) -> Cost:
    """Add up an experiment."""
    floor = training = evaluation = 0.0
    for cell in cells(experiment):
        size = _size(cell.network, cell.features, cell.classes)
        train = cell.trials * training_flops(
            cell.defense, size, cell.batch, cell.steps, cell.train
        )
        evaluated = EVALUATED[cell.experiment]
        attacked = cell.trials * evaluation_flops(
            size, evaluated.attacks, evaluated.radii, cell.evaluated
        )
        floor += (train + attacked) / calibration.peak
        training += train / calibration.training(cell)
        evaluation += attacked / calibration.evaluation(cell)
    return Cost(floor, training, evaluation)


def main() -> None:
    """Calibrate, print hours per experiment, write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--pack", type=int, help="networks; 77 on a GPU, else 4")
    parser.add_argument("--record", action="store_true", help="replay CUDA graphs of the steps")
    parser.add_argument(
        "--experiment", nargs="+", choices=[*EVALUATED, WHOLE], default=[*EVALUATED, WHOLE]
    )
    options = parser.parse_args()
    where = machine.describe(options.device)
    calibration = Calibration(options.device, options.pack or PACK[options.device], options.record)
    print(f"{where.processor}, matmul peak {calibration.peak / 1e9:.0f} GFLOP/s")
    print("experiment       trials   floor h   training h   evaluation h   total h")
    rows: list[dict[str, object]] = []
    for experiment in options.experiment:
        hours = cost(experiment, calibration)
        trials = sum(cell.trials for cell in cells(experiment))
        total = hours.training + hours.evaluation
        print(
            f"{experiment:<14}{trials:>9,}{hours.floor / 3600:>10.1f}"
            f"{hours.training / 3600:>13.1f}{hours.evaluation / 3600:>15.1f}{total / 3600:>10.1f}",
            flush=True,
        )
        rows.append({"experiment": experiment, "trials": trials, **vars(hours)})
    rates = [{"key": list(key), "flops_per_second": r} for key, r in calibration.rates.items()]
    print(f"written to {machine.save(f'grid-cost-{options.device}', where, [*rows, *rates])}")


if __name__ == "__main__":
    main()
