"""The Ray that a sweep starts on one machine: what runs, and when it is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweep.cluster import local

ROOT = Path(__file__).resolve().parents[3]

PROCESSES = """
import os
from pathlib import Path
from sweep.cluster import local as local_ray, environment as ray_environment
from sweep.config.schema import Ray
ray_environment.prepare(Ray())
from ray._private.node import Node
before = dict(vars(Node))
local_ray.start(1, 0, log_to_driver=False)
assert dict(vars(Node)) == before
import ray
assert ray.get(ray.remote(lambda: 7).remote()) == 7
for folder in Path("/proc").glob("[0-9]*"):
    try:
        if f"PPid:\\t{os.getpid()}\\n" in (folder / "status").read_text():
            print((folder / "cmdline").read_bytes().replace(bytes(1), b" ").decode())
    except OSError:  # it has ended
        pass
ray.shutdown()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="processes are not listed here")
def test_local_ray_runs_no_process_that_a_sweep_does_not_use_and_leaves_no_token(
    tmp_path: Path,
) -> None:
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    here = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", PROCESSES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**here, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / ".ray").exists()
    assert "raylet" in done.stdout  # children are seen
    for unused in ("dashboard.py", "log_monitor.py", "monitor.py"):
        assert unused not in done.stdout


class Known:
    """Stands for Ray's account of its nodes: `name` is known from the given look on."""

    def __init__(self, name: str, look: int) -> None:
        self.name, self.look, self.looks = name, look, 0

    def node_table(self) -> list[dict[str, str]]:
        self.looks += 1
        return [{"NodeID": "other"}] + [{"NodeID": self.name}] * (self.looks >= self.look)


def get_node(state: Known, node_id: str) -> tuple[int, str]:
    return state.looks, node_id


def test_node_is_asked_for_when_it_is_known() -> None:
    assert local._found_early(get_node)(Known("this", 4), "this") == (4, "this")


def test_node_that_never_comes_is_left_to_rays_own_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_REGISTERS_WITHIN_S", 0.1)
    looks, node_id = local._found_early(get_node)(Known("this", 10**9), "this")
    assert looks > 1
    assert node_id == "this"


def test_method_that_ray_lacks_is_not_made_up() -> None:
    class Node:
        def start(self) -> str:
            return "Ray's"

    def ours(method: Any) -> Any:
        return lambda node: f"not {method(node)}"

    with local._changed(Node, "start", ours), local._changed(Node, "begin", ours):
        assert Node().start() == "not Ray's"
        assert not hasattr(Node, "begin")
    assert Node().start() == "Ray's"
