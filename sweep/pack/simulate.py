"""Made-up outcomes in place of training, to try the whole pipeline at full size.

They have the shape of real ones and are marked as simulated in the records, which the analysis
refuses unless told otherwise.
"""

from __future__ import annotations

import numpy as np

from sweep.config.schema import Evaluation
from sweep.datasets import DatasetInfo
from sweep.grid.packing import Pack
from sweep.grid.trial import Trial
from sweep.pack.outcome import Assessment, Outcome, PackOutcome
from sweep.pack.records import split_attacks


def measure(pack: Pack, info: DatasetInfo, evaluation: Evaluation) -> PackOutcome:
    """Make up what became of a pack; a trial's numbers depend on its id only."""
    return PackOutcome(
        tuple(_outcome(trial, len(pack), info, evaluation) for trial in pack.trials), "simulated"
    )


def _outcome(trial: Trial, together: int, info: DatasetInfo, evaluation: Evaluation) -> Outcome:
    generator = np.random.default_rng(int(trial.trial_id, 16))
    clean, decay = 0.5 + 0.5 * generator.random(), 1 + 9 * generator.random()
    accuracy = clean * np.exp(-decay * np.asarray(evaluation.attack_grid_radii))
    return Outcome(
        Assessment(
            dict.fromkeys(split_attacks(evaluation), accuracy),
            {"validation": info.num_validation, "test": info.num_test},
        ),
        diverged_step=_diverged_step(trial),
        trained_together=together,
        steps_per_second=1000.0,
        train_seconds=0.0,
        evaluation_seconds=0.0,
    )


def _diverged_step(trial: Trial) -> int | None:
    """The largest learning rate diverges in half of its trials."""
    return 1 if trial.learning_rate >= 1 and int(trial.trial_id, 16) % 2 else None
