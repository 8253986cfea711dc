"""Training steps per second of every defense: plain PyTorch, torch.func, packs.

    python -m benchmarks.throughput [--device cuda] [--packs 1 20] [--defense rub ...]

Needs torch and numpy; PGD's baseline is foolbox where it is installed. The baselines run in turn
with the packs, so that the ratios hold on a noisy machine.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable

import torch

from benchmarks import machine, plain, vmapped
from robust import defenses, networks
from robust.norms import ORDERS
from robust.numerics.recording import WARM_UP, recorded
from robust.training.step import TrainingStep
from sweep.cost.model import training_flops

SHAPES = ((5, 2), (37, 7), (65, 10))  # (D, K) of small, middle and large UCI sets
IMAGE_SHAPES = {784: (28, 28, 1), 3072: (32, 32, 3)}
RADIUS = 0.1
HEADER = (
    "defense          D   K  pack   networks x steps/s   plain/s   ratio    vmap   of peak   MB"
)


def packed_step(
    defense: str,
    features: int,
    classes: int,
    batch: int,
    pack: int,
    device: str,
    network: str = "mlp-3x200",
    record: bool = False,
) -> Callable[[], object]:
    """Return one training step of a pack, as robust.train takes it; recorded if asked for."""
    shape = IMAGE_SHAPES.get(features)
    net = networks.build(network, features, classes, pack, seed=0, input_shape=shape).to(device)
    x, y = _batch(features, classes, batch, device)
    method = defenses.get(defense)
    scaled = features**0.5 if method.norm in ORDERS and method.norm != "linf" else 1.0
    radius = torch.full((pack,), RADIUS * scaled, device=device)
    rates = torch.full((pack,), 1e-4, device=device)
    generator = torch.Generator(device).manual_seed(0)
    step = TrainingStep(net, x, y, method, radius, rates, batch, generator, steps=1)
    step.batch.copy_(torch.arange(batch))
    if not record:
        return step
    again = recorded(step, generator)
    for _ in range(WARM_UP + 1):
        again()
    return again


def plain_step(
    defense: str, features: int, classes: int, batch: int, device: str
) -> Callable[[], object]:
    """Return one training step of one network in straightforward PyTorch."""
    torch.manual_seed(0)
    net = plain.make_network(features, classes).to(device)
    x, y = _batch(features, classes, batch, device)
    norm = defenses.get(defense).norm
    radius = RADIUS * (features**0.5 if norm in ("l1", "l2") else 1.0)
    optimizer = torch.optim.Adam(net.parameters(), 1e-4, eps=1e-7)
    loss = plain.PLAIN_LOSSES[defense]

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(loss(net, x, y, radius))
        optimizer.step()

    return step


def _batch(
    features: int, classes: int, batch: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, features, generator=generator)
    y = torch.randint(0, classes, (batch,), generator=generator)
    return x.to(device), y.to(device)


def measure(
    defense: str,
    features: int,
    classes: int,
    batch: int,
    packs: list[int],
    device: str,
    record: bool = False,
) -> list[dict[str, object]]:
    """Time one defense at one shape: baselines, every pack size and a matmul, in turn."""
    runs: dict[object, Callable[[], object]] = {
        p: packed_step(defense, features, classes, batch, p, device, record=record) for p in packs
    }
    if defense in plain.PLAIN_LOSSES:
        runs["plain"] = plain_step(defense, features, classes, batch, device)
    vmap = vmapped.step(
        defense, *_batch(features, classes, batch, device), classes, packs[-1], 0.1
    )
    if vmap is not None:
        runs["vmap"] = vmap
    runs["matmul"], operations = machine.matmul(device)
    times = dict(zip(runs, machine.interleaved(list(runs.values()), device), strict=True))
    peak = operations / times["matmul"]
    single = times.get("plain")
    size = networks.size("mlp-3x200", features, classes)
    floor = training_flops(defense, size, batch, steps=1, num_train=batch)
    return [
        {
            "defense": defense,
            "features": features,
            "classes": classes,
            "batch": batch,
            "pack": pack,
            "recorded": record,
            "network_steps_per_second": pack / times[pack],
            "plain_steps_per_second": None if single is None else 1 / single,
            "ratio_to_plain": None if single is None else pack * single / times[pack],
            "ratio_to_vmap": (
                times["vmap"] / times[pack] if vmap is not None and pack == packs[-1] else None
            ),
            "matmul_flops_per_second": peak,
            "share_of_peak": pack * floor / times[pack] / peak,
            "peak_memory_mb": _peak_memory(device),
        }
        for pack in packs
    ]


def _peak_memory(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main() -> None:
    """Measure what the command line asks for, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--packs", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument(
        "--defense", nargs="+", default=[*plain.PLAIN_LOSSES, "fgsm-linf", "coap-linf"]
    )
    parser.add_argument("--record", action="store_true", help="replay CUDA graphs of the steps")
    parser.add_argument("--name", default=None, help="of the file under benchmarks/results")
    options = parser.parse_args()
    where, peak = machine.describe(options.device), machine.matmul_peak(options.device)
    print(f"{where.processor}, {where.threads} threads, torch {where.torch}")
    print(f"matmul peak {peak / 1e9:.0f} GFLOP/s (float32, batched, 200 wide)\n")
    print(HEADER)
    rows: list[dict[str, object]] = []
    for defense in options.defense:
        for features, classes in SHAPES:
            for row in measure(
                defense,
                features,
                classes,
                options.batch,
                options.packs,
                options.device,
                options.record,
            ):
                rows.append(row)
                print(_line(row), flush=True)
    name = options.name or f"throughput-{options.device}"
    print(f"\nwritten to {machine.save(name, where, rows)}")


def _line(row: dict[str, object]) -> str:
    plain_rate, ratio = row["plain_steps_per_second"], row["ratio_to_plain"]
    vmap = row["ratio_to_vmap"]
    return (
        f"{row['defense']:<14}{row['features']:>4}{row['classes']:>4}{row['pack']:>6}"
        f"{row['network_steps_per_second']:>21.1f}"
        + (f"{plain_rate:>10.1f}{ratio:>7.1f}x" if plain_rate is not None else " " * 18)
        + (f"{vmap:>7.1f}x" if vmap is not None else " " * 8)
        + f"{row['share_of_peak']:>9.0%}{row['peak_memory_mb']:>8.0f}"
    )


if __name__ == "__main__":
    main()
