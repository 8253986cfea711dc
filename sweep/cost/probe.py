"""Measure the memory that training one pack takes: run in a fresh process for each pack.

python -m sweep.cost.probe '{"defense": "rub", "network": "mlp-3x200", ...}'   # prints bytes
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from robust import networks
from robust.train import train
from sweep.cost.allocator import KEEP_MEMORY

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"  # proc(5): resets the peak of the resident set
_STEPS = 2  # the second one has the optimizer's moments beside everything else
_RADIUS = 0.1
_SECONDS = 120.0


class ProbeError(RuntimeError):
    """The memory could not be measured here."""


@dataclass(frozen=True)
class Shape:
    """What the memory of training depends on, beside the device."""

    defense: str
    network: str
    num_features: int
    num_classes: int
    batch_size: int  # no larger than the number of training examples
    input_shape: tuple[int, ...]


def measure(shape: Shape, num_networks: int, device: str) -> int:
    """Train a pack for two steps in a process of its own; return the bytes that it took.

    Raises:
        ProbeError: it ran out of memory or time, or the system does not tell.
    """
    request = {**asdict(shape), "num_networks": num_networks, "device": device}
    command = [sys.executable, "-m", "sweep.cost.probe", json.dumps(request)]
    kept = {**os.environ, **KEEP_MEMORY}  # as in the workers, whose freed memory stays theirs
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SECONDS, env=kept
        )
        return int(done.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise ProbeError(f"{shape}: {error}") from None


def main(argv: Sequence[str]) -> int:
    """Print the bytes that one pack takes."""
    request = json.loads(argv[0])
    count, device = request.pop("num_networks"), request.pop("device")
    torch.set_num_threads(1)
    warm_up = Shape("nominal", "mlp-1x8", 4, 2, 8, (4,))
    _train(warm_up, 1, device)  # loads what torch loads lazily
    before = _start(device)
    _train(Shape(**request), count, device)
    print(_peak(device) - before)
    return 0


def _train(shape: Shape, num_networks: int, device: str) -> None:
    net = networks.build(
        shape.network,
        shape.num_features,
        shape.num_classes,
        num_networks,
        seed=0,
        input_shape=tuple(shape.input_shape),
    ).to(device)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape.batch_size, shape.num_features, generator=generator)
    y = torch.arange(shape.batch_size) % shape.num_classes
    train(
        net,
        x.to(device),
        y.to(device),
        defense=shape.defense,
        radius=torch.full((num_networks,), _RADIUS),
        learning_rate=torch.full((num_networks,), 1e-3),
        batch_size=shape.batch_size,
        steps=_STEPS,
        seed=0,
    )


def _start(device: str) -> int:
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    _CLEAR.write_text(_CLEAR_PEAK)
    return _resident("VmRSS")


def _peak(device: str) -> int:
    if device != "cpu":
        return int(torch.cuda.max_memory_allocated(device))
    return _resident("VmHWM")


def _resident(field: str) -> int:
    found = re.search(field + r":\s+(\d+) kB", _STATUS.read_text())
    if found is None:
        raise ProbeError(f"{_STATUS} has no {field}")
    return 1024 * int(found[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
