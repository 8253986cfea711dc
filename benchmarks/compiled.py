"""Losses compiled by torch.compile beside ours: what a step gains, and what each start costs.

    python -m benchmarks.compiled [--device cuda] [--defense rub ...]

A sweep meets a new shape with nearly every pack, so that the start counts as much as the step.
Each defense is compiled twice, in processes of their own: with an empty cache, and with what the
first left there. On a GPU the recorded step (`robust.numerics.recording`) runs in turn with them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks import machine
from benchmarks.throughput import packed_step
from robust import defenses
from robust.training.step import TrainingStep

FEATURES, CLASSES, BATCH, PACK = 37, 7, 256, 4
SHAPE = {"features": FEATURES, "classes": CLASSES, "batch": BATCH, "pack": PACK}
HEADER = "defense         first call, new   from the cache   step   compiled   recorded"
Row = dict[str, object]


def main() -> None:
    """Measure the defenses that the command line names, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--defense", nargs="+", default=sorted(defenses.names()))
    parser.add_argument("--one", default=None, help="measure in this process, and print JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as a sweep's workers on a CPU
    if options.one:
        print(json.dumps(measure(options.one, options.device)))
        return
    print(HEADER)
    rows = []
    for defense in options.defense:
        rows.append(new_and_cached(defense, options.device))
        print(_line(rows[-1]), flush=True)
    where = machine.describe(options.device)
    print(f"\nwritten to {machine.save(f'compiled-{options.device}', where, rows)}")


def new_and_cached(defense: str, device: str) -> Row:
    """Measure a defense in two processes, of which the second finds the first one's cache."""
    command = [sys.executable, "-m", "benchmarks.compiled", "--device", device, "--one", defense]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        rows = []
        for _ in range(2):
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                return {"defense": defense, **SHAPE, "error": done.stderr.strip().split("\n")[-1]}
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    new, cached = (row.pop("first_call_seconds") for row in rows)
    return {**rows[1], "first_call_seconds_new": new, "first_call_seconds_cached": cached}


def measure(defense: str, device: str) -> Row:
    """Time a step as it is, with compiled losses and, on a GPU, recorded: in turn."""
    runs: dict[str, Callable[[], object]] = {"step": _step(defense, device)}
    runs["compiled"] = compiled = _compiled(_step(defense, device))
    runs["step"]()  # what any first step costs is not the compiler's
    start = time.perf_counter()
    compiled()
    machine.synchronize(device)
    first = time.perf_counter() - start
    if device == "cuda":
        runs["recorded"] = packed_step(
            defense, FEATURES, CLASSES, BATCH, PACK, device, record=True
        )
    times = machine.interleaved(list(runs.values()), device)
    seconds = {f"{name}_seconds": t for name, t in zip(runs, times, strict=True)}
    return {"defense": defense, **SHAPE, "first_call_seconds": first, **seconds}


def _step(defense: str, device: str) -> TrainingStep:
    step = packed_step(defense, FEATURES, CLASSES, BATCH, PACK, device)
    assert isinstance(step, TrainingStep)  # recorded ones are not
    return step


def _compiled(step: TrainingStep) -> TrainingStep:
    """Compile the losses; the gradient follows, and Adam is one kernel as it is."""
    method = replace(step.defense)
    object.__setattr__(method, "example_losses", torch.compile(method.example_losses))
    step.defense = method
    return step


def _line(row: Row) -> str:
    name = f"{row['defense']:<14}"
    if "error" in row:
        return f"{name} does not compile: {row['error']}"
    step = float(str(row["step_seconds"]))

    def gain(name: str) -> str:
        seconds = row.get(f"{name}_seconds")
        return f"{step / seconds:>10.2f}x" if isinstance(seconds, float) else f"{'':>11}"

    return (
        f"{name}{row['first_call_seconds_new']:>15.1f} s"
        f"{row['first_call_seconds_cached']:>15.1f} s{1e3 * step:>6.0f} ms"
        + gain("compiled")
        + gain("recorded")
    )


if __name__ == "__main__":
    main()
