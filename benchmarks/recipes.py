"""Certified accuracy of networks trained on the bounds over the L1 ball, and what training took.

    python -m benchmarks.recipes [--batch 64] [--sets wine] [--defenses rub vertex-crown-l1]

One seed, mlp-3x200, rate 1e-3, 200 steps, trained at g sqrt(D); certified at half, once and twice
that radius by RUB and by the best proof, on the first 200 test examples. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from robust import networks
from robust.evaluation.proofs import prover
from robust.networks import MLP
from robust.train import train
from tests.robust.tightness import split

GRID_RADII = {"breast cancer": 0.3, "digits": 0.2, "wine": 0.6}
DEFENSES = ("rub", "vertex-crown-l1(share=0.25)", "vertex-crown-l1(share=0.25,with_rub=true)")
STEPS, RATE, EXAMPLES = 200, 1e-3, 200


def trained(x: Tensor, y: Tensor, defense: str, radius: float, batch: int) -> MLP:
    """Return one trained network."""
    net = networks.build("mlp-3x200", x.shape[1], int(y.max()) + 1, 1, seed=0)
    assert isinstance(net, MLP)
    train(
        net,
        x,
        y,
        defense=defense,
        radius=torch.tensor([radius]),
        learning_rate=torch.tensor([RATE]),
        batch_size=batch,
        steps=STEPS,
        seed=0,
    )
    return net


def shares(net: MLP, x: Tensor, y: Tensor, method: str, radii: Tensor) -> list[float]:
    """Return the share of examples that a method certifies at each radius."""
    return prover(net, method).proven(x, y, radii).double().mean(dim=1).tolist()


def main() -> None:
    """Print one line per set and defense."""
    parser = argparse.ArgumentParser(description="Certified accuracy by training defense.")
    parser.add_argument("--sets", nargs="+", default=list(GRID_RADII), choices=list(GRID_RADII))
    parser.add_argument("--defenses", nargs="+", default=DEFENSES)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("set, defense: clean | by RUB at g/2, g, 2g | by the best proof | seconds of training")
    for name in arguments.sets:
        x, y, x_test, y_test = split(name)
        radius = GRID_RADII[name] * x.shape[1] ** 0.5
        radii = radius * torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        at = x_test[:EXAMPLES], y_test[:EXAMPLES]
        for defense in arguments.defenses:
            start = time.process_time()
            net = trained(x, y, defense, radius, arguments.batch)
            seconds = time.process_time() - start
            clean = float((net(at[0])[0].argmax(dim=1) == at[1]).double().mean())
            parts = [f"{clean:.3f}"]
            for method in ("rub", "best"):
                parts.append(" ".join(f"{v:.3f}" for v in shares(net, *at, method, radii)))
            print(f"{name}, {defense}: {' | '.join(parts)} | {seconds:.0f}", flush=True)


if __name__ == "__main__":
    main()
