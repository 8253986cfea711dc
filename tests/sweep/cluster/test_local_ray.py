"""The Ray that a sweep starts on one machine: who can reach it, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Prints the addresses (in the kernel's hexadecimal) on which it and its processes listen.
LISTENS = """
import os
from pathlib import Path
from sweep.cluster import start
from sweep.config.schema import Ray
from tests.sweep.chaos import descendants
with start.running(Ray(num_cpus=1, num_gpus=0)):
    import ray
    assert ray.get(ray.remote(lambda: 7).remote()) == 7
    below = descendants(os.getpid())
    print("processes:", *below.values(), sep="\\n")
    files = [f for pid in (os.getpid(), *below) for f in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {os.readlink(f)[8:-1] for f in files if os.path.islink(f)}
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                print("listens on", fields[1].split(":")[0])
print("left:", *descendants(os.getpid()).values())
"""
LOOPBACK = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are not listed here")
def test_local_ray_listens_on_loopback_alone_and_leaves_nothing_behind(tmp_path: Path) -> None:
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    here = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", LISTENS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        # A Ray that runs elsewhere is none of a local sweep's.
        env={**here, "HOME": str(tmp_path), "RAY_ADDRESS": "127.0.0.1:1"},
    )
    assert done.returncode == 0, done.stderr
    assert "raylet" in done.stdout  # children are seen
    addresses = [line.split()[-1] for line in done.stdout.splitlines() if "listens on" in line]
    assert addresses
    assert set(addresses) <= set(LOOPBACK)
    assert done.stdout.endswith("left:\n")
    assert not (tmp_path / ".ray").exists()
