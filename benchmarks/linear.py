"""How the cost of training grows: with networks, steps, batch and input features.

    python -m benchmarks.linear [--device cuda] [--defense nominal rub ...]

Prints seconds and the slope on a double logarithmic scale (1 is linear), and writes them as JSON
and, where matplotlib is installed, as a plot.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from dataclasses import asdict, dataclass, replace

import torch

from benchmarks import machine
from robust import defenses, networks
from robust.train import train

CLASSES = 5
NETWORK = "mlp-3x200"


@dataclass(frozen=True)
class Job:
    """What is trained."""

    networks: int = 4
    steps: int = 8
    batch: int = 128
    features: int = 32


AXES = {
    "networks": (2, 4, 8, 16),
    "steps": (4, 8, 16, 32),
    "batch": (64, 128, 256, 512),
    "features": (16, 32, 64, 128),
}
ROUNDS = 3


def seconds(job: Job, defense: str, device: str) -> float:
    """Return how long a training takes; the steps include everything that robust.train does."""
    net = networks.build(NETWORK, job.features, CLASSES, job.networks, seed=0).to(device)
    x = torch.randn(job.batch, job.features, generator=torch.Generator().manual_seed(0))
    y = torch.arange(job.batch) % CLASSES
    scaled = job.features**0.5 if defenses.get(defense).norm == "l1" else 1.0
    machine.synchronize(device)
    start = time.perf_counter()
    train(
        net,
        x.to(device),
        y.to(device),
        defense=defense,
        radius=torch.full((job.networks,), 0.1 * scaled, device=device),
        learning_rate=torch.full((job.networks,), 1e-4, device=device),
        batch_size=job.batch,
        steps=job.steps,
        seed=0,
    )
    machine.synchronize(device)
    return time.perf_counter() - start


def measure(defense: str, device: str) -> list[dict[str, object]]:
    """Time every job of every axis in turn, and keep the fastest round of each."""
    jobs = [
        (axis, value, replace(Job(), **{axis: value}))
        for axis, values in AXES.items()
        for value in values
    ]
    seconds(Job(steps=1), defense, device)
    best = [math.inf] * len(jobs)
    for _ in range(ROUNDS):
        best = [
            min(b, seconds(job, defense, device))
            for b, (_, _, job) in zip(best, jobs, strict=True)
        ]
    return [
        {"defense": defense, "axis": axis, "value": value, "seconds": taken, **asdict(job)}
        for (axis, value, job), taken in zip(jobs, best, strict=True)
    ]


def slope(points: list[tuple[float, float]]) -> float:
    """Return the least-squares slope of log seconds over log value."""
    xs, ys = [math.log(v) for v, _ in points], [math.log(s) for _, s in points]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - mx) ** 2 for x in xs)


def points(rows: list[dict[str, object]], defense: str, axis: str) -> list[tuple[float, float]]:
    """Return (value, seconds) of one line of the plot."""
    return [
        (float(str(row["value"])), float(str(row["seconds"])))
        for row in rows
        if row["defense"] == defense and row["axis"] == axis
    ]


def plot(rows: list[dict[str, object]], names: list[str], file: str) -> None:
    """Draw one panel per axis, one line per defense."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(AXES), figsize=(12, 3.2), sharey=True)
    for panel, axis in zip(panels, AXES, strict=True):
        for name, marker in zip(names, "osD^vP*X", strict=False):
            line = points(rows, name, axis)
            label = f"{name}: {slope(line):.2f}"
            panel.loglog(*zip(*line, strict=True), marker=marker, label=label)
        panel.set(xlabel=axis, xticks=AXES[axis], xticklabels=AXES[axis])
        panel.minorticks_off()
        panel.legend(fontsize=7, title="slope", title_fontsize=7)
    lowest, highest = panels[0].get_ylim()
    panels[0].set(ylabel="seconds", ylim=(lowest / 8, highest))  # room for the legends
    figure.tight_layout()
    figure.savefig(machine.RESULTS / file, dpi=130, metadata={"Software": None})


def main() -> None:
    """Measure what the command line asks for, print the slopes, write JSON and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--defense", nargs="+", default=["nominal", "arub-linf", "pgd-linf", "rub"]
    )
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name in options.defense:
        rows += measure(name, options.device)
        slopes = {axis: slope(points(rows, name, axis)) for axis in AXES}
        print(name, *(f"{axis} {value:.2f}" for axis, value in slopes.items()), flush=True)
    saved = machine.save(f"linear-{options.device}", machine.describe(options.device), rows)
    print(f"written to {saved}")
    if importlib.util.find_spec("matplotlib"):
        plot(rows, options.defense, saved.with_suffix(".png").name)


if __name__ == "__main__":
    main()
