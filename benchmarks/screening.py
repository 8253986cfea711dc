"""What screening saves in RUB's search for vertices, by size of the input and radius.

    python -m benchmarks.screening [--steps 20]

Networks are trained with RUB for some steps at each radius on noisy class means, batch 32; then
the search of all vertices and the screened one take turns. CPU only: a GPU searches all vertices.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks import machine
from robust import networks
from robust.bounds.rub import mlp_screened_search, mlp_search
from robust.checks import for_each_example
from robust.train import train

FEATURES, CLASSES, BATCH, EXAMPLES, RATE = (784, 3072), 10, 32, 1024, 1e-3
GRID_RADII = (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.5, 1, 3, 5, 10)


def measure(features: int, grid_radius: float, steps: int) -> dict[str, object]:
    """Train one network, then time both searches on a minibatch."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, CLASSES, (EXAMPLES,), generator=generator)
    means = torch.randn(CLASSES, features, generator=generator)
    x = means[y] + torch.randn(EXAMPLES, features, generator=generator)
    radius = torch.tensor([grid_radius * features**0.5])
    net = networks.build("mlp-3x200", features, CLASSES, 1, seed=0)
    assert isinstance(net, networks.MLP)
    rates = torch.tensor([RATE])
    train(
        net,
        x,
        y,
        defense="rub",
        radius=radius,
        learning_rate=rates,
        batch_size=BATCH,
        steps=steps,
        seed=0,
    )
    with torch.no_grad():
        around = mlp_search.unperturbed_pass(net, x[:BATCH], y[:BATCH])
        at = for_each_example(radius, BATCH)
        runs = [
            lambda: mlp_search.worst_vertices_around(net, around, at),
            lambda: mlp_screened_search.worst_vertices(net, around, at),
        ]
        every, screened = machine.interleaved(runs, "cpu")
    return {
        "features": features,
        "grid_radius": grid_radius,
        "all_seconds": every,
        "screened_seconds": screened,
        "ratio": every / screened,
    }


def main() -> None:
    """Measure, print a table, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=20, help="of training before")
    options = parser.parse_args()
    where = machine.describe("cpu")
    rows = []
    print("features  grid radius  all vertices s  screened s   ratio")
    for features in FEATURES:
        for radius in GRID_RADII:
            row = measure(features, radius, options.steps)
            rows.append(row)
            print(
                f"{features:>8}{radius:>13g}{row['all_seconds']:>16.3f}"
                f"{row['screened_seconds']:>12.3f}{row['ratio']:>8.2f}",
                flush=True,
            )
    print(f"written to {machine.save('screening-cpu', where, rows)}")


if __name__ == "__main__":
    main()
