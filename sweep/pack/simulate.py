"""Made-up measurements in place of training, to try the whole pipeline at full size.

They have the shape of real ones and are marked as simulated in the records, which the analysis
refuses unless told otherwise.
"""

from __future__ import annotations

import numpy as np

from sweep.config.schema import Evaluation
from sweep.datasets import DatasetInfo
from sweep.grid.options import evaluated_attacks
from sweep.grid.packing import Pack
from sweep.grid.trial import Trial
from sweep.pack.records import Measured
from sweep.results import schema


def measure(pack: Pack, info: DatasetInfo, evaluation: Evaluation) -> Measured:
    """Make up a pack's measurements; a trial's numbers depend on its id only."""
    count = len(pack)
    radii = np.asarray(evaluation.attack_grid_radii)
    generators = [np.random.default_rng(int(trial.trial_id, 16)) for trial in pack.trials]
    clean = np.array([0.5 + 0.5 * generator.random() for generator in generators])
    decay = np.array([1 + 9 * generator.random() for generator in generators])
    accuracy = clean[:, None] * np.exp(-decay[:, None] * radii[None, :])
    return Measured(
        diverged_step=tuple(_diverged_step(trial) for trial in pack.trials),
        accuracy={
            (split, attack): accuracy
            for split in schema.SPLITS
            for attack in evaluated_attacks(evaluation)
        },
        num_samples={"validation": info.num_validation, "test": info.num_test},
        trained_together=(count,) * count,
        steps_per_second=(1000.0,) * count,
        train_seconds=(0.0,) * count,
        evaluation_seconds=(0.0,) * count,
        flags=("",) * count,
        problems=(None,) * count,
        observations=((),) * count,
        curve=(),
        device="simulated",
    )


def _diverged_step(trial: Trial) -> int | None:
    """The largest learning rate diverges in half of its trials."""
    return 1 if trial.learning_rate >= 1 and int(trial.trial_id, 16) % 2 else None
