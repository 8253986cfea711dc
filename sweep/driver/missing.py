"""What of a sweep is missing: networks to train, rows to measure on kept ones (pure).

A network is missing where no record has finished it, or where rows are missing and its weights are
gone. A row is missing where none of the network's records has its key.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep.grid.rows import Row
from sweep.grid.trial import Trial
from sweep.results.store import Recorded

Known = Mapping[str, tuple[Recorded, Path]]  # trial id -> what is recorded of it, and where


@dataclass(frozen=True)
class Todo:
    """What is to be done for some trials.

    Attributes:
        train: networks to train, with all rows.
        evaluate: networks that lack rows, and those rows; a diverged one gets them empty.
        again: those of `train` that were trained before, whose weights are gone.
        later: networks that another part of the sweep trains; their rows come after that.
    """

    train: tuple[Trial, ...] = ()
    evaluate: tuple[tuple[Trial, tuple[Row, ...]], ...] = ()
    again: frozenset[str] = frozenset()
    later: tuple[Trial, ...] = ()

    @property
    def rows(self) -> int:
        """The rows that are to be measured on networks that are there."""
        return sum(len(rows) for _, rows in self.evaluate)


def todo(
    wanted: Iterable[tuple[Trial, tuple[Row, ...]]],
    known: Known,
    weights: Container[str],
    *,
    trained_elsewhere: Container[str] = (),
    needs_weights: bool = True,
) -> Todo:
    """Compare what is asked for with what is recorded.

    Args:
        wanted: trials and the rows that each is to have.
        known: what records have finished.
        weights: trials whose weights are kept.
        trained_elsewhere: trials that another part of the sweep trains now.
        needs_weights: whether rows are measured on weights; made-up ones are not.
    """
    train: list[Trial] = []
    evaluate: list[tuple[Trial, tuple[Row, ...]]] = []
    again: set[str] = set()
    later: list[Trial] = []
    missing = _Missing()
    for trial, rows in wanted:
        trial_id = trial.trial_id
        if trial_id in trained_elsewhere:
            later.append(trial)
            continue
        if trial_id not in known:
            train.append(trial)
            continue
        recorded, _ = known[trial_id]
        lacking = missing.of(rows, recorded.rows)
        if not lacking:
            continue
        if needs_weights and recorded.status == "complete" and trial_id not in weights:
            train.append(trial)
            again.add(trial_id)
        else:
            evaluate.append((trial, lacking))
    return Todo(tuple(train), tuple(evaluate), frozenset(again), tuple(later))


class _Missing:
    """The rows that records lack; thousands of trials lack the same ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, frozenset[str]], tuple[Row, ...]] = {}

    def of(self, rows: tuple[Row, ...], recorded: frozenset[str]) -> tuple[Row, ...]:
        """Those of `rows`, which the caller keeps, that are not recorded."""
        key = id(rows), recorded
        if key not in self._known:
            self._known[key] = tuple(row for row in rows if row.evaluation_id not in recorded)
        return self._known[key]


def grouped(
    evaluate: Sequence[tuple[Trial, tuple[Row, ...]]], most: int
) -> list[tuple[tuple[Trial, ...], tuple[Row, ...]]]:
    """Put the trials of one data set and network together that lack the same rows.

    Args:
        evaluate: as of `Todo`.
        most: at most so many trials in a group.
    """
    groups: dict[tuple[object, ...], list[Trial]] = {}
    rows_of: dict[tuple[object, ...], tuple[Row, ...]] = {}
    for trial, rows in evaluate:
        data = trial.dataset, trial.dataset_hash, trial.scaling, trial.split_seed
        key = (*data, trial.network, trial.defense, trial.batch_size, trial.seed, id(rows))
        groups.setdefault(key, []).append(trial)
        rows_of[key] = rows
    return [
        (tuple(trials[start : start + most]), rows_of[key])
        for key, trials in groups.items()
        for start in range(0, len(trials), most)
    ]
