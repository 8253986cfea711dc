"""Which code ran, and on what."""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version

import torch

from sweep.config.schema import Ray
from sweep.installation import INSTALLED, ROOT

COMMIT = "SWEEP_GIT_COMMIT"  # an image is built without .git, and told its commit


def git_commit() -> str:
    """The commit of the working tree, with +dirty where it was changed.

    An installed project has none: a repository around its environment is somebody else's. Its
    release is named instead. Without git, as in a container: what SWEEP_GIT_COMMIT says, or
    unknown.
    """
    if INSTALLED:
        return f"release-{version('robust-sweep')}"
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return os.environ.get(COMMIT, "").strip() or "unknown"
    return f"{commit}+dirty" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def local_device(ray: Ray) -> str:
    """The device that packs will run on if Ray is local: cuda where there is a GPU to use."""
    wanted = ray.gpus_per_pack != 0 and ray.num_gpus != 0
    return "cuda" if wanted and torch.cuda.is_available() else "cpu"


def slots(ray: Ray) -> int:
    """How many packs a local Ray runs at once."""
    cpus = ray.num_cpus if ray.num_cpus is not None else len(os.sched_getaffinity(0))
    by_cpu = max(1, cpus // ray.cpus_per_pack)
    if local_device(ray) == "cpu":
        return by_cpu
    gpus = ray.num_gpus if ray.num_gpus is not None else torch.cuda.device_count()
    each = ray.gpus_per_pack if ray.gpus_per_pack is not None else 0.5
    return max(1, min(by_cpu, int(gpus / each)))
