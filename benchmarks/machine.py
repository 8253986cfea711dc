"""What was measured on, and how: machine, versions, matmul peak, honest timing."""

from __future__ import annotations

import json
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Machine:
    """Where a measurement was taken."""

    device: str
    processor: str
    threads: int
    torch: str
    python: str
    commit: str
    date: str


def describe(device: str) -> Machine:
    """Describe this machine."""
    name = torch.cuda.get_device_name() if device == "cuda" else _processor()
    return Machine(
        device=device,
        processor=name,
        threads=torch.get_num_threads(),
        torch=torch.__version__.split("+")[0],
        python=platform.python_version(),
        commit=_commit(),
        date=time.strftime("%Y-%m-%d"),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[], object], device: str, at_least: float = 0.3) -> float:
    """Return the wall time of one call: repeated for `at_least` seconds, after a warm-up."""
    run()
    synchronize(device)
    calls, elapsed, start = 0, 0.0, time.perf_counter()
    while elapsed < at_least:
        # More and more between two looks at the clock: a GPU may run behind its host.
        for _ in range(max(1, calls)):
            run()
            calls += 1
        synchronize(device)
        elapsed = time.perf_counter() - start
    return elapsed / calls


def interleaved(
    runs: Sequence[Callable[[], object]], device: str, rounds: int = 3, at_least: float = 0.3
) -> list[float]:
    """Return the median time of each run, taken in turn so that drift meets all alike."""
    times = [[seconds(run, device, at_least) for run in runs] for _ in range(rounds)]
    return [sorted(column)[rounds // 2] for column in zip(*times, strict=True)]


def matmul(
    device: str, networks: int = 4, rows: int = 2560, width: int = 200
) -> tuple[Callable[[], object], float]:
    """Return a float32 batched product at the networks' own width, and its operations."""
    a = torch.randn(networks, rows, width, device=device)
    b = torch.randn(networks, width, width, device=device)
    return lambda: torch.bmm(a, b), 2.0 * networks * rows * width * width


def matmul_peak(device: str) -> float:
    """Return the rate of that product in FLOP/s, the best of five tries."""
    product, operations = matmul(device)
    return operations / min(seconds(product, device, 0.2) for _ in range(5))


def save(name: str, machine: Machine, rows: Sequence[dict[str, object]]) -> Path:
    """Write a result with the machine it was measured on, and return where it went."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps({"machine": asdict(machine), "rows": list(rows)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return path
