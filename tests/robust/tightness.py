"""How tight the certificates are on trained networks: the table of docs/bounds.md.

    python -m tests.robust.tightness

For each network, the mean over test examples of the largest L1 radius (on a ladder of factor
1.1) that a bound certifies, and beside it the smallest that the vertex attack breaks, which no
bound can pass.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn import datasets
from torch import Tensor

from robust import attacks, networks
from robust.evaluation.certifier import Certifier
from robust.networks import MLP, AnyPack
from robust.train import train
from tests.robust.bounds.test_crown import crown

LADDER = 0.01 * 1.1 ** torch.arange(80, dtype=torch.float64)
EXAMPLES, STEPS = 40, 300
SETS = {
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
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


def trained(x: Tensor, y: Tensor, network: str, defense: str) -> AnyPack:
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
    return net.double()


def largest(holds: Callable[[Tensor, Tensor, float], bool], x: Tensor, y: Tensor) -> float:
    """Return the mean of each example's largest ladder radius at which `holds`, by bisection."""
    total = 0.0
    for n in range(len(x)):
        low, high = -1, len(LADDER)
        while high - low > 1:
            middle = (low + high) // 2
            ok = holds(x[n : n + 1], y[n : n + 1], float(LADDER[middle]))
            low, high = (middle, high) if ok else (low, middle)
        total += float(LADDER[low]) if low >= 0 else 0.0
    return total / len(x)


def mean_radius(index: Tensor) -> float:
    """Return the mean of ladder radii, 0 where there is none."""
    return float(torch.where(index >= 0, LADDER[index.clamp_min(0)], 0.0).mean())


def smallest_broken(net: MLP, x: Tensor, y: Tensor) -> float:
    """Return the mean of the largest radius before the first that the vertex attack breaks."""
    attack = attacks.get("vertex-l1")
    keeps = [(net(attack(net, x, y, float(r))).argmax(dim=2) == y)[0] for r in LADDER]
    return mean_radius(torch.stack(keeps).long().cumprod(dim=0).sum(dim=0) - 1)


def row(x: Tensor, y: Tensor, net: MLP) -> list[float]:
    """Return the mean radius of every bound, and the limit that an attack sets."""
    certifier = Certifier(net)
    return [
        mean_radius(certifier.largest(x, y, LADDER)),
        mean_radius(certifier.largest(x, y, LADDER, tight=True)),
        *(
            largest(lambda *at, slope=slope: bool((crown(net, 0, *at, slope) < 0).all()), x, y)
            for slope in ("same-slope", "adaptive")
        ),
        smallest_broken(net, x, y),
    ]


def main() -> None:
    """Print the table."""
    torch.manual_seed(0)
    columns = ("RUB", "RUB, t optimised", "COAP (L1)", "CROWN", "attack")
    print("| " + " | ".join(["set", "network", "defense", "correct", *columns]) + " |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in SETS:
        x, y, x_test, y_test = split(name)
        for network in ("mlp-1x200", "mlp-3x200"):
            for defense in DEFENSES:
                net = trained(x, y, network, defense)
                assert isinstance(net, MLP)
                at, labels = x_test[:EXAMPLES].double(), y_test[:EXAMPLES]
                correct = float((net(at)[0].argmax(dim=1) == labels).double().mean())
                cells = [f"{v:.3f}" for v in row(at, labels, net)]
                text = " | ".join([name, network, defense, f"{correct:.2f}", *cells])
                print(f"| {text} |", flush=True)


if __name__ == "__main__":
    main()
