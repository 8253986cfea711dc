"""What became of a trial, as one object, and of the trials of a pack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from robust.training.monitor import Observation
from sweep.results import schema


@dataclass(frozen=True)
class Assessment:
    """What the evaluation of one network gave.

    Attributes:
        accuracy: by the `evaluation_id` of each row; empty where nothing was evaluated.
        num_samples: evaluated samples of each split.
        flags: likewise by row, of `schema.FLAGS`, separated by spaces.
        problem: why the accuracies cannot be believed, or why there are none, in one line.
    """

    accuracy: Mapping[str, float] = field(default_factory=dict)
    num_samples: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one trial.

    Attributes:
        assessment: what the evaluation of its network gave.
        diverged_step: None where it did not diverge.
        trained_together: networks in the program that trained it; 0 where none did.
        steps_per_second: of that program, summed over its networks.
        train_seconds, evaluation_seconds: this trial's share.
        curve: (step, validation accuracy).
        observations: on minibatches, while it trained.
        weights_hash: of its parameters; None where it has none that are worth keeping.
        before: what its records say of its training, where it was trained earlier.
    """

    assessment: Assessment
    diverged_step: int | None = None
    trained_together: int = 0
    steps_per_second: float | None = None
    train_seconds: float | None = None
    evaluation_seconds: float | None = None
    curve: tuple[tuple[int, float | None], ...] = ()
    observations: tuple[Observation, ...] = ()
    weights_hash: str | None = None
    before: Mapping[str, object] | None = None

    @property
    def status(self) -> schema.Status:
        """The column `status`."""
        if self.assessment.problem is not None:
            return "failed"
        return "complete" if self.diverged_step is None else "diverged"


@dataclass(frozen=True)
class PackOutcome:
    """What became of a pack's trials, in order; `+` puts the parts of a pack together.

    Attributes:
        trials: what became of each.
        device: its name in the records.
        resumed_step: at which training was taken up from a checkpoint.
        seconds_before: of training, in processes that died.
    """

    trials: tuple[Outcome, ...]
    device: str = "unknown"
    resumed_step: int = 0
    seconds_before: float = 0.0

    def __add__(self, other: PackOutcome) -> PackOutcome:
        return PackOutcome(
            self.trials + other.trials,
            self.device,
            max(self.resumed_step, other.resumed_step),
            self.seconds_before + other.seconds_before,
        )


def failed_pack(trials: int, error: str) -> PackOutcome:
    """What became of a pack of so many trials that all failed for one reason."""
    return PackOutcome((Outcome(Assessment(problem=error)),) * trials)
