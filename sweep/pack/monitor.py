"""What is measured on minibatches while a pack trains: which networks, which balls."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch

from robust import defenses
from robust.losses import LOSSES
from robust.networks.linearization import Network
from robust.norms import Norm
from robust.training.monitor import BoundCheck, Checks, Monitor, Trace
from sweep.config.schema import Training
from sweep.datasets import Dataset
from sweep.grid.costs import costs_of
from sweep.grid.expand import true_radius
from sweep.grid.packing import Pack
from sweep.grid.trial import Trial

CHECK_EVERY: Final = 500  # steps, where there is no validation curve
CHECKED_NORMS: Final[tuple[Norm, ...]] = ("linf", "l1")
CHECKED_GRID_RADII: Final = (0.0, 0.0008, 0.001, 0.0015, 0.002, 0.003, 0.01, 0.1, 0.3, 0.5, 1.0)


def is_checked(trial: Trial) -> bool:
    """Whether a trial is one of those whose bound is checked (Table 1)."""
    return trial.bound_checked


def monitor(net: Network, pack: Pack, data: Dataset, training: Training) -> Monitor | None:
    """Return what watches the training of a pack; None if nothing is asked for."""
    checked = tuple(i for i, t in enumerate(pack.trials) if is_checked(t))
    checks = trace = None
    if checked:
        # As the curve, a check has a point at the end of a training that is shorter.
        every = min(training.curve_every or CHECK_EVERY, pack.first.steps)
        checks = Checks(every, checked, _balls(data.info.num_features))
    if training.trace_every:
        like = next(net.parameters())
        device, costs = like.device, costs_of(data.info, pack.first.defense)
        weights = None if costs is None else torch.tensor(costs).to(like)
        method = replace(
            defenses.get(pack.first.defense).with_costs(weights),
            loss_function=LOSSES.get(training.loss),
            bounds=data.bounds,
        )
        radius = torch.tensor([trial.train_radius for trial in pack.trials], device=device)
        trace = Trace(training.trace_every, method, radius)
    if checks is None and trace is None:
        return None
    return Monitor(net, pack.first.seed, data.bounds, checks, trace)


def _balls(num_features: int) -> tuple[BoundCheck, ...]:
    return tuple(
        BoundCheck(
            norm,
            tuple(true_radius(norm, r, num_features) for r in CHECKED_GRID_RADII),
            CHECKED_GRID_RADII,
        )
        for norm in CHECKED_NORMS
    )
