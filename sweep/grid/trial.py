"""A trial: one network with one setting and one seed, and its identity."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from sweep.hashing import content_hash
from sweep.results.schema import NUMERICS_VERSION


@dataclass(frozen=True)
class Trial:
    """Everything that determines one network's records.

    Two trials with equal fields have the same id, in whatever experiment they are asked for.
    """

    dataset: str
    dataset_hash: str  # of the arrays and the split
    scaling: str
    network: str
    defense: str
    grid_radius: float
    train_radius: (
        float  # the true radius; sqrt(D) is applied by sweep/grid/expand.py and nowhere else
    )
    learning_rate: float
    batch_size: int
    steps: int
    seed: int
    split_seed: int
    options: (
        str  # canonical JSON of `sweep.grid.options.options_of`, and whether bounds are checked
    )
    numerics_version: int = NUMERICS_VERSION

    @cached_property
    def trial_id(self) -> str:
        """The content hash of the fields."""
        # Not asdict, which copies every value: 45,000 trials are planned in seconds.
        return content_hash({field.name: getattr(self, field.name) for field in fields(self)})
