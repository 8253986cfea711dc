"""From trials to packs: pure. The trials of a pack are trained together in one program."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from sweep.grid.trial import Trial
from sweep.hashing import content_hash


@dataclass(frozen=True)
class Pack:
    """Trials that differ in radius and learning rate only."""

    trials: tuple[Trial, ...]

    @cached_property
    def pack_id(self) -> str:
        """The content hash of its trials' ids."""
        return content_hash([trial.trial_id for trial in self.trials])

    @property
    def first(self) -> Trial:
        """A trial to read the common fields from."""
        return self.trials[0]

    @property
    def halves(self) -> tuple[Pack, Pack]:
        """Two packs, of its first and of its other trials."""
        half = len(self) // 2
        return Pack(self.trials[:half]), Pack(self.trials[half:])

    def __len__(self) -> int:
        return len(self.trials)


Key = tuple[str | int, ...]
Cost = Callable[[Trial], float]


def pack_key(trial: Trial) -> Key:
    """What the trials of a pack have in common."""
    return (
        trial.dataset,
        trial.dataset_hash,
        trial.scaling,
        trial.network,
        trial.defense,
        trial.batch_size,
        trial.steps,
        trial.seed,
        trial.split_seed,
        trial.training_options,
        trial.numerics_version,
    )


def make_packs(
    trials: Iterable[Trial],
    *,
    max_trials: int,
    cost: Cost,
    fitting: Callable[[Trial], int] | None = None,
    begun: Iterable[Sequence[str]] = (),
) -> list[Pack]:
    """Group trials to packs, the most expensive pack first, so that the tail is short.

    Args:
        trials: to be trained.
        max_trials: at most so many trials in a pack.
        cost: of one trial, in any unit.
        fitting: how many trials like this one fit into memory together; None for any number.
        begun: trial ids of packs that have a checkpoint; they stay as they are.

    Returns:
        Packs that hold every trial once; those of one group are as equal in size as can be.
    """
    kept, rest = _begun_packs(trials, begun)
    groups: dict[Key, list[Trial]] = {}
    for trial in rest:
        groups.setdefault(pack_key(trial), []).append(trial)
    packs = [(-cost(pack.first) * len(pack), pack.pack_id, pack) for pack in kept]
    for group in groups.values():
        bound = max_trials if fitting is None else max(1, min(max_trials, fitting(group[0])))
        each = cost(group[0])
        for part in _equal_parts(group, bound):
            pack = Pack(tuple(part))
            packs.append((-each * len(part), pack.pack_id, pack))
    return [pack for _, _, pack in sorted(packs, key=lambda item: item[:2])]


def _begun_packs(
    trials: Iterable[Trial], begun: Iterable[Sequence[str]]
) -> tuple[list[Pack], list[Trial]]:
    """The begun packs of which every trial is still to be trained, and the other trials."""
    left = {trial.trial_id: trial for trial in trials}
    packs = []
    for ids in begun:
        if all(trial_id in left for trial_id in ids):
            packs.append(Pack(tuple(left.pop(trial_id) for trial_id in ids)))
    return packs, list(left.values())


def _equal_parts(group: Sequence[Trial], bound: int) -> list[Sequence[Trial]]:
    parts = math.ceil(len(group) / bound)
    edges = [round(i * len(group) / parts) for i in range(parts + 1)]
    return [group[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]
