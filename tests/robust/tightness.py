"""How tight the certificates are on trained networks: the table of docs/bounds.md.

    python -m tests.robust.tightness

For each network, the mean over test examples of the largest L1 radius (on a ladder of factor
1.1) that a bound certifies, and beside it the smallest that the vertex attack breaks, which no
bound can pass.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor

from robust import attacks, networks
from robust.bounds import methods
from robust.evaluation.proofs import largest, prover
from robust.networks import MLP
from robust.train import train

LADDER = 0.01 * 1.1 ** torch.arange(80, dtype=torch.float64)
EXAMPLES, STEPS = 40, 300
SETS = {
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
METHODS = ("rub", "rub-tight", "coap", "crown", "vertex-crown", "best")
# Defense and its radius, before the factor sqrt(D) of L1.
DEFENSES = {"nominal": 0.0, "arub-l1": 0.1, "rub": 0.1}


def split(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return standardised training and test parts of a bundled set."""
    x, y = SETS[name](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    cut = 4 * len(x) // 5
    mean, scale = x[order[:cut]].mean(axis=0), x[order[:cut]].std(axis=0)
    x = torch.as_tensor((x - mean) / np.where(scale > 0, scale, 1)).float()
    y = torch.as_tensor(y)
    return x[order[:cut]], y[order[:cut]], x[order[cut:]], y[order[cut:]]


def trained(x: Tensor, y: Tensor, network: str, defense: str) -> MLP:
    """Return one trained network in float64."""
    net = networks.build(network, x.shape[1], int(y.max()) + 1, 1, seed=0)
    train(
        net,
        x,
        y,
        defense=defense,
        radius=torch.tensor([DEFENSES[defense] * x.shape[1] ** 0.5]),
        learning_rate=torch.tensor([1e-3]),
        batch_size=256,
        steps=STEPS,
        seed=0,
    )
    assert isinstance(net, MLP)
    return net.double()


def mean_radius(index: Tensor) -> float:
    """Return the mean of ladder radii, 0 where there is none."""
    return float(torch.where(index >= 0, LADDER[index.clamp_min(0)], 0.0).mean())


def smallest_broken(net: MLP, x: Tensor, y: Tensor) -> float:
    """Return the mean of the largest radius before the first that the vertex attack breaks."""
    attack = attacks.get("vertex-l1")
    keeps = [(net(attack(net, x, y, float(r))).argmax(dim=2) == y)[0] for r in LADDER]
    return mean_radius(torch.stack(keeps).long().cumprod(dim=0).sum(dim=0) - 1)


def row(x: Tensor, y: Tensor, net: MLP) -> list[float]:
    """Return the mean radius that each method proves, and the limit that an attack sets."""
    proven = [mean_radius(largest(prover(net, name), x, y, LADDER)) for name in METHODS]
    return [*proven, smallest_broken(net, x, y)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Tightness of the bounds.")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--networks", nargs="+", default=["mlp-1x200", "mlp-3x200"])
    arguments = parser.parse_args()
    torch.manual_seed(0)
    columns = (*(methods.get(name).label for name in METHODS), "attack")
    print("| " + " | ".join(["set", "network", "defense", "correct", *columns]) + " |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in arguments.sets:
        x, y, x_test, y_test = split(name)
        for network in arguments.networks:
            for defense in DEFENSES:
                net = trained(x, y, network, defense)
                at, labels = x_test[:EXAMPLES].double(), y_test[:EXAMPLES]
                correct = float((net(at)[0].argmax(dim=1) == labels).double().mean())
                cells = [f"{v:.3f}" for v in row(at, labels, net)]
                text = " | ".join([name, network, defense, f"{correct:.2f}", *cells])
                print(f"| {text} |", flush=True)


if __name__ == "__main__":
    main()
