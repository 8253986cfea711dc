"""A small training with everything that has a state."""

from __future__ import annotations

import torch
from torch import Tensor

from robust import defenses, networks
from robust.networks import CNN, MLP
from robust.train import TrainResult, train
from robust.training.checkpoint import CheckpointFile
from robust.training.monitor import Monitor, Observation, Trace
from tests.robust.helpers import random_batch

STEPS = 9
RADII = torch.tensor([0.05, 0.3, 0.1])
RATES = torch.tensor([0.01, 0.001, 1e30])  # the last network diverges


def fresh(network: str = "mlp-2x8") -> MLP | CNN:
    if network == "cnn":
        return networks.build("cnn", 16, 3, 3, seed=5, input_shape=(4, 4, 1))
    return networks.build(network, 4, 3, 3, seed=5)


def trained(
    net: MLP | CNN, defense: str, file: CheckpointFile | None, **options: object
) -> tuple[TrainResult, tuple[tuple[Observation, ...], ...]]:
    """Train with everything that has a state: a curve, a monitor, a network that diverges.

    All of it lies where the network does.
    """
    device = net.weights[0].device
    method = defenses.get(defense)
    watching = Monitor(net, 7, trace=Trace(2, method, RADII.to(device)))
    settings = {
        "radius": RADII.to(device),
        "learning_rate": RATES.to(device),
        "batch_size": 8,
        "steps": STEPS,
        "seed": 3,
        "validation": on(device, 20, net.num_features, seed=2),
        "curve_every": 3,
        "on_batch": watching,
        "checkpoint": file,
    }
    batch = on(device, 30, net.num_features, seed=1)
    result = train(net, *batch, defense=defense, **{**settings, **options})  # type: ignore[arg-type]
    return result, watching.observations(result.diverged_step)


def on(device: torch.device, count: int, features: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random inputs and labels on a device."""
    x, y = random_batch(count, features, 3, seed=seed, dtype=torch.float32)
    return x.to(device), y.to(device)
