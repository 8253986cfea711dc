"""What training with RUB does for the certificates of a convolutional network.

    python -m benchmarks.rub_cnn [--steps 1000] [--examples 719]

The paper leaves RUB for convolutional networks as future work. Madry's network is trained on the
8 x 8 digits that scikit-learn ships (standardised, batch 32, rate 1e-3), nominally and with
aRUB-L1 and RUB at three L1 radii, and certified on examples that it was not trained on. About
15 minutes of one CPU core.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks import machine
from benchmarks.evaluation import Split, digits
from robust import certify, networks
from robust.evaluate import correct
from robust.train import train

SHAPE = (8, 8, 1)
TRAINED_AT = {"nominal": (0.0,), "arub-l1": (0.3, 1.0, 3.0), "rub": (0.3, 1.0, 3.0)}
CERTIFIED_AT = (0.1, 0.3, 1.0, 3.0)
BATCH, RATE = 32, 1e-3


def measure(defense: str, training: Split, held_out: Split, steps: int) -> list[dict[str, object]]:
    """Train one network for each radius; return accuracy and certified accuracy of each."""
    radii = torch.tensor(TRAINED_AT[defense])
    net = networks.build("cnn", 64, 10, len(radii), seed=0, input_shape=SHAPE)
    result = train(
        net,
        *training,
        defense=defense,
        radius=radii,
        learning_rate=torch.full_like(radii, RATE),
        batch_size=BATCH,
        steps=steps,
        seed=0,
    )
    accuracy = correct(net, *held_out).double().mean(dim=1).tolist()
    certified = {f"{at:g}": certify.certified(net, *held_out, at) for at in CERTIFIED_AT}
    return [
        {
            "defense": defense,
            "trained_at": radius,
            "steps": steps,
            "examples": len(held_out[1]),
            "training_seconds": result.seconds / len(radii),
            "accuracy": accuracy[p],
            "certified": {at: holds[p].double().mean().item() for at, holds in certified.items()},
        }
        for p, radius in enumerate(TRAINED_AT[defense])
    ]


def main() -> None:
    """Train, certify, print a table, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--examples", type=int, default=719, help="certified, of 719 held out")
    options = parser.parse_args()
    where = machine.describe("cpu")
    training, (x, y) = digits("cpu")
    held_out = x[: options.examples], y[: options.examples]
    columns = "".join(f"{f'certified at {at:g}':>18}" for at in CERTIFIED_AT)
    print(f"{'defense':<9}{'trained at':>11}{'s/network':>11}{'accuracy':>10}{columns}")
    rows: list[dict[str, object]] = []
    for defense in TRAINED_AT:
        for row in measure(defense, training, held_out, options.steps):
            rows.append(row)
            shares = row["certified"]
            assert isinstance(shares, dict)
            print(
                f"{defense:<9}{row['trained_at']:>11}{row['training_seconds']:>11.0f}"
                f"{row['accuracy']:>10.3f}" + "".join(f"{s:>18.3f}" for s in shares.values()),
                flush=True,
            )
    print(f"written to {machine.save('rub-cnn', where, rows)}")


if __name__ == "__main__":
    main()
