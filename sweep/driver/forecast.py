"""How long the rest of a sweep takes, from what each defense's packs take.

A pack's seconds are three sums: its training operations over its defense's rate, its evaluation
operations over the rate of evaluation, and what is around both. Rates are those of this sweep's
own packs where it has some of that defense; else those of earlier sweeps
(`sweep.cost.calibration`) or of a laptop, corrected by how much faster or slower this sweep ran
than these say.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sweep.cost.calibration import Rates

# A pack that takes longer than its forecast is taken to need this share of its time again.
_LATE = 0.1


@dataclass(frozen=True)
class Work:
    """What a pack has to do."""

    defense: str
    train_flops: float
    evaluation_flops: float


@dataclass
class _Measured:
    """Seconds that packs took and would have taken by the rates."""

    seconds: float = 0.0
    expected: float = 0.0

    def add(self, seconds: float, expected: float) -> None:
        self.seconds += seconds
        self.expected += expected

    def slowness(self, otherwise: float) -> float:
        return self.seconds / self.expected if self.expected > 0 else otherwise


@dataclass
class Forecast:
    """What packs take, learnt as they finish.

    Attributes:
        rates: of earlier sweeps.
    """

    rates: Rates
    _training: dict[str, _Measured] = field(default_factory=lambda: defaultdict(_Measured))
    _all_training: _Measured = field(default_factory=_Measured)
    _evaluation: _Measured = field(default_factory=_Measured)
    _around: float = 0.0
    _packs: int = 0

    def learn(
        self, work: Work, train_seconds: float, evaluation_seconds: float, seconds: float
    ) -> None:
        """Take note of a pack that is finished; `seconds` are all that it took."""
        training, evaluation = self._by_rates(work)
        self._training[work.defense].add(train_seconds, training)
        self._all_training.add(train_seconds, training)
        self._evaluation.add(evaluation_seconds, evaluation)
        self._around += max(0.0, seconds - train_seconds - evaluation_seconds)
        self._packs += 1

    def seconds(self, work: Work) -> float:
        """Return what a pack takes."""
        training, evaluation = self._by_rates(work)
        typical = self._all_training.slowness(1.0)
        own = self._training.get(work.defense, _Measured())
        around = self._around / self._packs if self._packs else self.rates.overhead
        return (
            training * own.slowness(typical) + evaluation * self._evaluation.slowness(1.0) + around
        )

    def _by_rates(self, work: Work) -> tuple[float, float]:
        """The seconds of training and of evaluation by the rates of earlier sweeps."""
        around = self.rates.overhead
        training = self.rates.seconds(work.defense, work.train_flops, 0.0) - around
        return training, self.rates.seconds(work.defense, 0.0, work.evaluation_flops) - around


def time_left(
    forecast: Forecast,
    waiting: Iterable[Work],
    running: Mapping[str, tuple[Work, float]],
    slots: int,
) -> float:
    """Return the seconds until the last pack ends, on slots that take the next one when free.

    Args:
        forecast: of each pack.
        waiting: packs in the order in which they start.
        running: a pack's work and for how many seconds it has run, by its id.
        slots: packs that run at a time.
    """
    ends = [_rest(forecast.seconds(work), elapsed) for work, elapsed in running.values()]
    free: list[float] = ends + [0.0] * max(0, slots - len(ends))
    heapq.heapify(free)
    for work in waiting:
        heapq.heapreplace(free, free[0] + forecast.seconds(work))
    return max(free)


def _rest(seconds: float, elapsed: float) -> float:
    return max(seconds - elapsed, _LATE * elapsed)
