"""Steps per second of a pack with two threads, alone and beside a busy process.

    python -m benchmarks.neighbour [--defense nominal] [--pack 20] [--seconds 3] [--rounds 5]

The threads of one product wait for each other. Where they spin meanwhile, as OpenMP's do unless
told otherwise, a neighbour that takes one core takes the time of both. Both ways of waiting run
in processes of their own, as the libraries read the environment when they are loaded; alone and
beside the neighbour they take turns, so that shares hold on a machine that is busy anyway.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from sweep.cost.waiting import WAIT_ASLEEP

FEATURES, CLASSES, BATCH = 37, 7, 256
POLICIES = {"as it comes": {}, "asleep": dict(WAIT_ASLEEP)}
BUSY = "while True: pass"


def steps_per_second(defense: str, pack: int, threads: int, seconds: float) -> float:
    """Time training steps in this process."""
    import torch

    from benchmarks.throughput import packed_step

    torch.set_num_threads(threads)
    step = packed_step(defense, FEATURES, CLASSES, BATCH, pack, "cpu")
    for _ in range(3):
        step()
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        step()
        count += 1
    return count / passed


def in_process(policy: str, asked: argparse.Namespace) -> float:
    """Return the steps per second of a process that waits by a policy."""
    removed = {name for each in POLICIES.values() for name in each}
    kept = {name: value for name, value in os.environ.items() if name not in removed}
    options = ["--defense", asked.defense, "--pack", str(asked.pack)]
    options += ["--threads", str(asked.threads), "--seconds", str(asked.seconds), "--alone"]
    command = [sys.executable, "-m", "benchmarks.neighbour", *options]
    environment = {**kept, "OMP_NUM_THREADS": str(asked.threads), **POLICIES[policy]}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(said.stdout)


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Keep one core busy, or not."""
    process = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def compare(asked: argparse.Namespace) -> dict[str, dict[bool, float]]:
    """Return the median steps per second, by policy, alone and beside a neighbour."""
    found: dict[str, dict[bool, list[float]]] = {
        policy: {False: [], True: []} for policy in POLICIES
    }
    for _ in range(asked.rounds):
        for policy in POLICIES:
            for busy in (False, True):
                with neighbour(busy):
                    found[policy][busy].append(in_process(policy, asked))
    return {
        policy: {busy: median(values) for busy, values in each.items()}
        for policy, each in found.items()
    }


def main() -> None:
    """Print a line per policy; with `--alone` the steps per second of this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--defense", default="nominal")
    parser.add_argument("--pack", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="only this process, as it is")
    asked = parser.parse_args()
    if asked.alone:
        print(steps_per_second(asked.defense, asked.pack, asked.threads, asked.seconds))
        return
    busy_anyway = os.getloadavg()[0]
    print(
        f"{asked.defense}, pack of {asked.pack}, {asked.threads} threads; load {busy_anyway:.1f}"
    )
    print("waiting        alone/s  beside/s   share", flush=True)
    for policy, rates in compare(asked).items():
        share = rates[True] / rates[False]
        print(f"{policy:12} {rates[False]:9.1f} {rates[True]:9.1f} {share:7.2f}")


if __name__ == "__main__":
    main()
