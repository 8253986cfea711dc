"""Rows that are added to networks which were trained before, on their kept weights.

Legend: P trials of the pack.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from sweep import output
from sweep.datasets import Dataset
from sweep.errors import MissingWeightsError
from sweep.grid.packing import Pack
from sweep.grid.rows import Row
from sweep.pack.outcome import Assessment, Outcome, PackOutcome
from sweep.pack.records import TRAINED
from sweep.pack.train import (
    OnStep,
    Settings,
    assess_within_memory,
    measure_within_memory,
    weights_hash,
)
from sweep.results import store, weights

_NAMED = 3  # trials in a message

Before = Mapping[str, Mapping[str, Any]]  # trial id -> what its records say, by column of TRAINED


def trained_before(recorded: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """What the records of trials say of their training.

    Args:
        recorded: trial id -> a file with records of it.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(set(recorded.values())):
        for row in store.read_table(path).select(["trial_id", *TRAINED]).to_pylist():
            trial = row.pop("trial_id")
            if recorded.get(trial) == path and row["status"] != store.FAILED:
                found.setdefault(trial, row)
    return found


def evaluate(
    pack: Pack,
    data: Dataset,
    settings: Settings,
    rows: Sequence[Row],
    index: weights.Index,
    before: Before,
    on_step: OnStep | None = None,
) -> PackOutcome:
    """Measure rows on kept networks; train those again whose weights prove to be damaged.

    Args:
        pack: P trials that were trained before.
        data: their data set.
        settings: of the worker.
        rows: to be measured.
        index: where the networks lie.
        before: what is recorded of their training.
        on_step: called with the number of each step of a training.
    """
    started = time.perf_counter()
    sound = [t for t in pack.trials if before[t.trial_id]["status"] == "complete"]
    assessed: tuple[Assessment, ...] = ()
    if sound:
        try:
            net = weights.load(index, [trial.trial_id for trial in sound])
        except MissingWeightsError as error:
            output.warn(f"{error}; they are trained again")
            again = measure_within_memory(pack, data, settings, rows, on_step)
            return as_trained_before(pack, again, before)
        _check_weights(sound, net, before)
        assessed = assess_within_memory(
            net.to(settings.device), sound[0], data, settings, rows, [None] * len(sound)
        )
    own = dict(zip((trial.trial_id for trial in sound), assessed, strict=True))
    each = (time.perf_counter() - started) / len(pack)
    outcomes = (
        Outcome(own.get(trial.trial_id, Assessment()), evaluation_seconds=each)
        for trial in pack.trials
    )
    return as_trained_before(pack, PackOutcome(tuple(outcomes), settings.device), before)


def as_trained_before(pack: Pack, outcome: PackOutcome, before: Before) -> PackOutcome:
    """The same assessments, of networks whose training is recorded already."""
    trials = []
    for trial, own in zip(pack.trials, outcome.trials, strict=True):
        recorded = before[trial.trial_id]
        lost = recorded["diverged_step"]
        assessment = own.assessment if lost is None else Assessment()
        trials.append(replace(own, assessment=assessment, diverged_step=lost, before=recorded))
    return replace(outcome, trials=tuple(trials))


def _check_weights(trials: Sequence[Any], net: Any, before: Before) -> None:
    """Refuse weights that are not those of the records, which rows must not be mixed with.

    Raises:
        ValueError: the hash is another one; names the trials.
    """
    other = [
        trial.trial_id
        for index, trial in enumerate(trials)
        if before[trial.trial_id]["weights_hash"] not in (None, weights_hash(net, index))
    ]
    if other:
        raise ValueError(
            f"kept weights of {', '.join(other)} are not those that the records speak of; move "
            "their files away, and the networks are trained again"
        )


def changes(recorded: Mapping[str, Path], table: pa.Table) -> str | None:
    """Say which networks came out otherwise than their records of before say; None of none.

    Args:
        recorded: files with records of trials that were trained before.
        table: the new records.
    """
    if not recorded:
        return None
    columns = (table[name].to_pylist() for name in ("trial_id", "weights_hash"))
    now = dict(zip(*columns, strict=True))
    before = {t: row["weights_hash"] for t, row in trained_before(recorded).items()}
    other = [t for t, own in before.items() if own is not None and now.get(t, own) != own]
    if not other:
        return None
    named = ", ".join(other[:_NAMED]) + (", ..." if len(other) > _NAMED else "")
    return (
        f"{len(other)} networks were trained again and came out otherwise ({named}): another "
        "processor, version of torch or of the code trained those of before; rows that were not "
        "asked for now are still theirs"
    )
