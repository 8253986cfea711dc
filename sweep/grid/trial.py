"""A trial: one network with one setting and one seed, and its identity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sweep.results import identity
from sweep.results.schema import NUMERICS_VERSION


@dataclass(frozen=True)
class Trial:
    """Everything that determines one network's weights.

    Two trials with equal fields have the same id, in whatever experiment they are asked for, and
    however they are evaluated.
    """

    dataset: str
    dataset_hash: str  # of the arrays and the split
    scaling: str
    network: str
    defense: str
    grid_radius: float  # in no id: it says which true radius the grid stands for
    train_radius: (
        float  # the true radius; sqrt(D) is applied by sweep/grid/expand.py and nowhere else
    )
    learning_rate: float
    batch_size: int
    steps: int
    seed: int
    split_seed: int
    training_options: str  # canonical JSON of `sweep.grid.options.training_options`
    numerics_version: int = NUMERICS_VERSION
    bound_checked: bool = False  # in no id: whether its bound is checked while it trains

    @cached_property
    def trial_id(self) -> str:
        """The content hash of what the weights follow from."""
        # Not asdict, which copies every value: 45,000 trials are planned in seconds.
        return identity.trial_id(vars(self))
