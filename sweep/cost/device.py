"""What packs run on, where Ray is local."""

from __future__ import annotations

import os

import torch

from sweep.config.schema import Ray


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
