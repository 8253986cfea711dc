"""From what became of a pack's trials to its two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa

from sweep.config.schema import Training
from sweep.datasets import DatasetInfo
from sweep.grid.options import curve_options
from sweep.grid.packing import Pack
from sweep.grid.rows import Row
from sweep.grid.trial import Trial
from sweep.hashing import canonical
from sweep.pack.outcome import Outcome, PackOutcome
from sweep.results import schema, store

VALIDATION_ACCURACY = "validation_accuracy"

_TRIAL_COLUMNS = (
    *("trial_id", "dataset", "dataset_hash", "network", "defense", "grid_radius", "train_radius"),
    *("learning_rate", "batch_size", "scaling", "steps", "seed", "split_seed"),
    *("training_options", "numerics_version"),
)
# What the records of a network's training say, and those of a later evaluation repeat.
TRAINED: Final = (
    *("status", "diverged_step", "pack_id", "pack_size", "train_steps_per_second"),
    *("train_seconds", "device", "curve_options", "weights_hash", "source_fingerprint"),
)
_ROW_COLUMNS = (
    *("split", "attack", "attack_norm", "attack_grid_radius", "attack_radius"),
    *("evaluation_id", "evaluation_options"),
)
_CURVE_TRIAL_COLUMNS = (
    *("trial_id", "dataset", "network", "defense", "grid_radius", "learning_rate"),
    *("batch_size", "scaling", "seed"),
)


@dataclass(frozen=True)
class Origin:
    """Where a record comes from.

    Attributes:
        experiment: its name.
        git_commit: of the code.
        simulated: whether the numbers are made up.
        source_fingerprint: of the code that trains the pack.
        evaluation_fingerprints: of the code that evaluates, by attack or certificate.
    """

    experiment: str
    git_commit: str
    simulated: bool = False
    source_fingerprint: str | None = None
    evaluation_fingerprints: Mapping[str, str] = field(default_factory=dict)


def build_records(
    pack: Pack,
    info: DatasetInfo,
    rows: Sequence[Row],
    training: Training,
    origin: Origin,
    outcome: PackOutcome,
) -> pa.Table:
    """One record per trial and row; null accuracies unless the trial is complete.

    Args:
        pack: the trials.
        info: of their data set.
        rows: what was measured of each.
        training: says what was measured while they trained.
        origin: of the records.
        outcome: what became of them.
    """
    where: dict[str, Sequence[object]] = {
        name: [getattr(row, name) for row in rows] for name in _ROW_COLUMNS
    }
    where["evaluation_fingerprint"] = [
        origin.evaluation_fingerprints.get(row.attack) for row in rows
    ]
    trained = [
        _trained(pack, trial, training, origin, own, outcome.device)
        for trial, own in zip(pack.trials, outcome.trials, strict=True)
    ]
    columns = _common_columns(pack, info, origin) | {
        "evaluation_seconds": [own.evaluation_seconds for own in outcome.trials],
        "error": [own.assessment.problem for own in outcome.trials],
        **{name: [own[name] for own in trained] for name in TRAINED},
    }
    return _table(columns, where, _cells(rows, outcome.trials))


def _trained(
    pack: Pack, trial: Trial, training: Training, origin: Origin, own: Outcome, device: str
) -> dict[str, object]:
    """What a trial's records say of its training, by column of `TRAINED`."""
    if own.before is not None:
        return {**own.before, "status": own.status}
    return {
        "status": own.status,
        "diverged_step": own.diverged_step,
        "pack_id": pack.pack_id,
        "pack_size": own.trained_together or len(pack),
        "train_steps_per_second": own.steps_per_second,
        "train_seconds": own.train_seconds,
        "device": device,
        "curve_options": canonical(curve_options(training, trial.bound_checked)),
        "weights_hash": own.weights_hash,
        "source_fingerprint": origin.source_fingerprint,
    }


def _cells(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> dict[str, pa.Array]:
    """The columns that differ by trial and by row, trial after trial."""
    ids = [row.evaluation_id for row in rows]
    accuracy: list[float | None] = []
    samples: list[int] = []
    flags: list[str] = []
    for own in outcomes:
        assessment, complete = own.assessment, own.status == "complete"
        accuracy += [assessment.accuracy[one] if complete else None for one in ids]
        samples += [assessment.num_samples.get(row.split, 0) for row in rows]
        flags += [assessment.flags.get(one, "") for one in ids]
    return {
        "accuracy": pa.array(accuracy, pa.float64(), from_pandas=True),  # NaN is null
        "num_samples": pa.array(samples, pa.int64()),
        "flags": pa.array(flags, pa.string()),
    }


def build_curves(pack: Pack, origin: Origin, outcome: PackOutcome) -> pa.Table:
    """The second table: what was measured of each trial while it trained."""
    rows = []
    for trial, own in zip(pack.trials, outcome.trials, strict=True):
        common = {name: getattr(trial, name) for name in _CURVE_TRIAL_COLUMNS}
        common |= {"schema_version": schema.SCHEMA_VERSION, "experiment": origin.experiment}
        common |= {"pack_id": pack.pack_id}
        rows += [
            common | {"quantity": VALIDATION_ACCURACY, "step": step, "value": value}
            for step, value in own.curve
        ]
        for seen in own.observations:
            ball = trial.grid_radius if seen.norm is not None else None
            radius = {"radius": ball if seen.radius is None else seen.radius}
            rows.append(common | asdict(seen) | radius)
    return pa.Table.from_pylist(rows, schema=store.CURVES)


def _common_columns(pack: Pack, info: DatasetInfo, origin: Origin) -> dict[str, Sequence[object]]:
    """The columns that depend on the trial only, one entry per trial."""
    count = len(pack)
    columns: dict[str, Sequence[object]] = {
        name: [getattr(trial, name) for trial in pack.trials] for name in _TRIAL_COLUMNS
    }
    same = {
        "schema_version": schema.SCHEMA_VERSION,
        "experiment": origin.experiment,
        "git_commit": origin.git_commit,
        "num_features": info.num_features,
        "num_classes": info.num_classes,
        "leaky": info.leaky,
        "simulated": origin.simulated,
    }
    return columns | {name: [value] * count for name, value in same.items()}


def _table(
    per_trial: Mapping[str, Sequence[object]],
    per_row: Mapping[str, Sequence[object]],
    per_cell: Mapping[str, pa.Array],
) -> pa.Table:
    """Cross the trials with the rows that each of them has; a cell is one row of one trial."""
    rows = len(per_row["split"])
    trials = len(per_trial["trial_id"])
    of_trial = pa.array(np.repeat(np.arange(trials), rows))
    of_row = pa.array(np.tile(np.arange(rows), trials))
    arrays = []
    for column in store.RECORDS:
        if column.name in per_cell:
            arrays.append(per_cell[column.name])
        elif column.name in per_trial:
            arrays.append(pa.array(per_trial[column.name], column.type).take(of_trial))
        else:
            arrays.append(pa.array(per_row[column.name], column.type).take(of_row))
    return pa.Table.from_arrays(arrays, schema=store.RECORDS)
