"""What vertex-CROWN costs beside RUB: a training step, and the certificates of a batch.

    python -m benchmarks.vertex_crown [--threads 1]

Processor time of one process, the least of several rounds that run in turn; printed only. The
network is trained first, as an untrained one has more units that are not linear in the ball.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from robust import defenses, networks
from robust.evaluation.proofs import prover
from robust.networks import MLP
from robust.train import train

FEATURES, CLASSES, BATCH = 37, 7, 256
RADIUS, STEPS, ROUNDS = 0.1 * FEATURES**0.5, 150, 6
CERTIFIED = 64  # examples whose certificates are timed
DEFENSES = (
    "rub",
    "vertex-crown-l1",
    "vertex-crown-l1(share=0.25)",
    "vertex-crown-l1(share=1)",
    "arub-l1",
)
CERTIFICATES = (("rub", "l1"), ("vertex-crown", "l1"), ("best", "l1"), ("crown", "linf"))


def trained(network: str) -> tuple[MLP, Tensor, Tensor]:
    """Return a network trained with aRUB-L1 on made-up classes, and a batch of them."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (4 * BATCH,), generator=generator)
    centres = torch.randn(CLASSES, FEATURES, generator=generator)
    x = centres[y] + torch.randn(4 * BATCH, FEATURES, generator=generator)
    net = networks.build(network, FEATURES, CLASSES, 1, seed=0)
    assert isinstance(net, MLP)
    train(
        net,
        x,
        y,
        defense="arub-l1",
        radius=torch.tensor([RADIUS]),
        learning_rate=torch.tensor([1e-3]),
        batch_size=BATCH,
        steps=STEPS,
        seed=0,
    )
    return net, x[:BATCH], y[:BATCH]


def least(calls: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the least processor seconds of each call, all called in turn."""
    seconds = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name] = min(seconds[name], time.process_time() - start)
    return seconds


def steps(net: MLP, x: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """Return a loss with its gradient, by defense."""

    def step(defense: str) -> Callable[[], object]:
        method = defenses.get(defense)
        own = list(net.parameters())
        return lambda: torch.autograd.grad(method.loss(net, x, y, RADIUS).sum(), own)

    return {name: step(name) for name in DEFENSES}


def certificates(net: MLP, x: Tensor, y: Tensor) -> dict[str, Callable[[], object]]:
    """Return what is certified of each example at eight radii, by method and norm."""
    ladder = RADIUS * 2.0 ** torch.arange(-4, 4, dtype=torch.float64)

    def certify(method: str, norm: str) -> Callable[[], object]:
        return lambda: prover(net, method, norm).proven(x, y, ladder)  # type: ignore[arg-type]

    return {f"{method}, {norm}": certify(method, norm) for method, norm in CERTIFICATES}


def main() -> None:
    """Print both tables, in seconds and in multiples of RUB's."""
    parser = argparse.ArgumentParser(description="What vertex-CROWN costs beside RUB.")
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    for network in ("mlp-3x200", "mlp-1x200"):
        net, x, y = trained(network)
        print(f"{network}, D = {FEATURES}, K = {CLASSES}, batch {BATCH}, radius {RADIUS:.2f}")
        some = x[:CERTIFIED], y[:CERTIFIED]
        made = {
            "step": (steps(net, x, y), ROUNDS),
            "certificates": (certificates(net, *some), ROUNDS // 2),
        }
        for title, (calls, rounds) in made.items():
            seconds = least(calls, rounds)
            base = next(iter(seconds.values()))
            for name, value in seconds.items():
                print(f"  {title:13}{name:30}{value:9.4f} s{value / base:8.2f} x RUB", flush=True)


if __name__ == "__main__":
    main()
