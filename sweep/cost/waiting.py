"""How threads of one product wait for each other: settings of OpenMP, read when it is loaded.

Unless told otherwise a thread that waits spins, and so takes the core that the one it waits for
may need: beside one busy process a pack with two threads lost most of its speed
(`python -m benchmarks.neighbour`). A thread that sleeps leaves the core.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final

# Of the standard, of GNU's library and of Intel's and LLVM's.
WAIT_ASLEEP: Final[Mapping[str, str]] = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
}


def wait_asleep(environment: MutableMapping[str, str]) -> None:
    """Let threads sleep where the user has not said how they wait.

    Args:
        environment: of processes that are yet to start, or to load PyTorch.
    """
    if not any(name in environment for name in WAIT_ASLEEP):
        environment.update(WAIT_ASLEEP)
