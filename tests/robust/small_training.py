"""A small training with everything that has a state."""

from __future__ import annotations

import torch

from robust import defenses, networks
from robust.checkpoint import CheckpointFile
from robust.monitor import Monitor, Observation, Trace
from robust.networks import CNN, MLP
from robust.train import TrainResult, train
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
    """Train with everything that has a state: a curve, a monitor, a network that diverges."""
    method = defenses.get(defense)
    watching = Monitor(net, 7, trace=Trace(2, method, RADII))
    settings = {
        "radius": RADII,
        "learning_rate": RATES,
        "batch_size": 8,
        "steps": STEPS,
        "seed": 3,
        "validation": random_batch(20, net.num_features, 3, seed=2, dtype=torch.float32),
        "curve_every": 3,
        "on_batch": watching,
        "checkpoint": file,
    }
    batch = random_batch(30, net.num_features, 3, seed=1, dtype=torch.float32)
    result = train(net, *batch, defense=defense, **{**settings, **options})  # type: ignore[arg-type]
    return result, watching.observations(result.diverged_step)
