"""Evaluation's speed against foolbox in the same run, and its share of a trial's time.

    python -m benchmarks.evaluation [--device cuda] [--pack 20] [--share-of nominal rub ...]

The networks are trained on the 8 x 8 digits that scikit-learn ships (D = 64, K = 10). A rate is
networks x examples x radii x steps per second, on examples that all networks classify correctly:
the others need no attack, which foolbox does not use.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from benchmarks import machine
from robust import attacks, defenses, networks
from robust.attacks.base import UNBOUNDED
from robust.attacks.gradient import GradientAttack
from robust.evaluate import correct, survivors
from robust.evaluation.foolbox_engine import FOOLBOX_ATTACKS, as_foolbox_model
from robust.networks.linearization import Network
from robust.train import train
from sweep.config.schema import Evaluation, Training
from sweep.grid.expand import true_radius

BATCH, TRAINING_STEPS, WARM_STEPS = 256, Training().steps, 60
SIZES = (40, 240)  # examples: where calls cost most, as in most UCI sets, and where products do
EXAMPLES = 240  # evaluated to measure a share; the time grows with the number of examples
GRID_RADII = (0.001, 0.01, 0.1, 1.0)  # of the comparison with foolbox
SHARE_OF = ("nominal", "baseline-linf", "arub-l1", "arub-linf", "rub", "pgd-linf")
RADIUS = 0.1
Split = tuple[Tensor, Tensor]


def digits(device: str) -> tuple[Split, Split]:
    """Return standardised training data, and the 40% that validation and test make up."""
    x, y = load_digits(return_X_y=True)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(y), generator=generator)
    cut = int(0.6 * len(y))
    inputs, labels = torch.tensor(x, dtype=torch.float32)[order], torch.tensor(y)[order]
    mean, std = inputs[:cut].mean(dim=0), inputs[:cut].std(dim=0).clamp_min(1e-6)
    inputs = ((inputs - mean) / std).clamp(-10, 10).to(device)
    labels = labels.to(device)
    return (inputs[:cut], labels[:cut]), (inputs[cut:], labels[cut:])


def trained(
    defense: str, split: Split, pack: int, steps: int = WARM_STEPS
) -> tuple[Network, float]:
    """Return a pack after some steps, and what one step of it took in seconds."""
    x, y = split
    net = networks.build("mlp-3x200", x.shape[1], 10, pack, seed=0).to(x.device)
    radius = true_radius(defenses.get(defense).norm, RADIUS, x.shape[1])
    result = train(
        net,
        x,
        y,
        defense=defense,
        radius=torch.full((pack,), radius),
        learning_rate=torch.logspace(-4, -3, pack),
        batch_size=BATCH,
        steps=steps,
        seed=0,
    )
    return net, result.seconds / steps


def ladder(attack: str, features: int, grid_radii: Sequence[float]) -> Tensor:
    """Return the true radii of an attack."""
    norm = attacks.get(attack).norm
    return torch.tensor([true_radius(norm, r, features) for r in grid_radii])


def with_foolbox(net: Network, attack: str, split: Split) -> Callable[[], Any]:
    """Return foolbox's evaluation of the first network of a pack."""
    x, y = split
    model = as_foolbox_model(net.subset([0]), UNBOUNDED, x.device)
    radii = ladder(attack, x.shape[1], GRID_RADII).tolist()
    return lambda: FOOLBOX_ATTACKS[attack]()(model, x, y, epsilons=radii)


def speed(
    net: Network, attack: str, split: Split, examples: int, device: str, record: bool = False
) -> dict[str, object]:
    """Compare a pack's evaluation with foolbox's of one network."""
    easy = correct(net, *split).all(dim=0).nonzero().squeeze(1)[:examples]
    x, y = split[0][easy], split[1][easy]
    method = attacks.get(attack)
    steps = method.num_steps if isinstance(method, GradientAttack) else 1
    radii = ladder(attack, x.shape[1], GRID_RADII)
    runs = [
        lambda: survivors(net, x, y, attack=attack, radii=radii, record=record),
        with_foolbox(net, attack, (x, y)),
    ]
    ours, theirs = machine.interleaved(runs, device, at_least=0.1)
    asked = len(y) * len(radii) * steps
    return {
        "attack": attack,
        "pack": net.num_networks,
        "examples": len(y),
        "radii": len(radii),
        "steps": steps,
        "recorded": record,
        "packed_per_second": net.num_networks * asked / ours,
        "foolbox_per_second": asked / theirs,
        "ratio_to_foolbox": net.num_networks * theirs / ours,
    }


def share(defense: str, net: Network, step: float, split: Split, device: str) -> dict[str, object]:
    """Measure what part of a trial's time each kind of evaluation takes.

    Args:
        defense: its name.
        net: a pack that it trained.
        step: seconds of one of its steps.
        split: evaluated.
        device: its type.
    """
    pack = net.num_networks
    x, y = split[0][:EXAMPLES], split[1][:EXAMPLES]
    training = step * TRAINING_STEPS
    radii = Evaluation().attack_grid_radii
    seconds = {}
    for attack in (*Evaluation().attacks, "certified-l1"):
        norm_of = "fgm-l1" if attack == "certified-l1" else attack
        machine.synchronize(device)
        start = time.perf_counter()
        survivors(net, x, y, attack=attack, radii=ladder(norm_of, x.shape[1], radii))
        machine.synchronize(device)
        seconds[attack] = (time.perf_counter() - start) * len(split[1]) / len(y)
    total = sum(seconds.values())
    paper = sum(seconds[a] for a in seconds if a not in ("vertex-l1", "certified-l1"))
    return {
        "defense": defense,
        "pack": pack,
        "training_seconds": training / pack,
        "evaluation_seconds": total / pack,
        "share": total / (total + training),
        "share_of_the_papers_attacks": paper / (paper + training),
        **{f"seconds_{attack}": taken / pack for attack, taken in seconds.items()},
    }


def nesting(defense: str, net: Network, split: Split, device: str) -> dict[str, object]:
    """Measure what `nested` saves and changes at the paper's 20 radii, by PGD in Linf."""
    x, y = split[0][:EXAMPLES], split[1][:EXAMPLES]
    radii = ladder("pgd-linf", x.shape[1], Evaluation().attack_grid_radii)
    seconds, kept = [], []
    for nested in (False, True):
        machine.synchronize(device)
        start = time.perf_counter()
        found = survivors(net, x, y, attack="pgd-linf", radii=radii, nested=nested)
        kept.append(found.double().mean(dim=2))
        seconds.append(time.perf_counter() - start)
    change = (kept[0] - kept[1]).abs()
    return {
        "defense": defense,
        "nested_saves": 1 - seconds[1] / seconds[0],
        "nested_lowers_accuracy_mean": change.mean().item(),
        "nested_lowers_accuracy_most": change.max().item(),
    }


def main() -> None:
    """Measure what the command line asks for, print tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--pack", type=int, default=20)
    parser.add_argument("--share-pack", type=int, default=4)
    parser.add_argument("--attack", nargs="+", default=list(FOOLBOX_ATTACKS))
    parser.add_argument("--share-of", nargs="*", default=list(SHARE_OF))
    parser.add_argument("--record", action="store_true", help="replay CUDA graphs of the steps")
    parser.add_argument("--name", default=None, help="of the file under benchmarks/results")
    options = parser.parse_args()
    where = machine.describe(options.device)
    print(f"{where.processor}, {where.threads} threads, torch {where.torch}\n")
    fit, split = digits(options.device)
    rows: list[dict[str, object]] = []
    print("attack     examples    networks x examples x radii x steps/s   foolbox/s   ratio")
    net, _ = trained("nominal", fit, options.pack)
    for attack, size in product(options.attack, SIZES):
        rows.append(row := speed(net, attack, split, size, options.device, options.record))
        print(
            f"{attack:<11}{row['examples']:>9}{row['packed_per_second']:>40,.0f}{row['foolbox_per_second']:>12,.0f}"
            f"{row['ratio_to_foolbox']:>7.1f}x",
            flush=True,
        )
    print(f"\n{TRAINING_STEPS} steps of {BATCH} and an evaluation at 20 radii, per network")
    print(
        "defense        training s   evaluation s   share   of the paper's six attacks"
        "   nested saves   and lowers pgd-linf by (mean, most)"
    )
    for defense in options.share_of:
        net, step = trained(defense, fit, options.share_pack)
        row = share(defense, net, step, split, options.device)
        row |= nesting(defense, net, split, options.device)
        rows.append(row)
        print(
            f"{defense:<15}{row['training_seconds']:>10.1f}{row['evaluation_seconds']:>15.1f}"
            f"{row['share']:>8.0%}{row['share_of_the_papers_attacks']:>20.0%}"
            f"{row['nested_saves']:>25.0%}{row['nested_lowers_accuracy_mean']:>22.2%}"
            f"{row['nested_lowers_accuracy_most']:>8.2%}",
            flush=True,
        )
    name = options.name or f"evaluation-{options.device}"
    print(f"\nwritten to {machine.save(name, where, rows)}")


if __name__ == "__main__":
    main()
