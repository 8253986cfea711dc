"""From what became of a pack's trials to its two tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from sweep.config.schema import Evaluation
from sweep.datasets import DatasetInfo
from sweep.grid.expand import attack_radii, rows_per_trial
from sweep.grid.options import attack_norm, evaluated_attacks
from sweep.grid.packing import Pack
from sweep.pack.outcome import Floats, Outcome, PackOutcome
from sweep.results import schema, store

VALIDATION_ACCURACY = "validation_accuracy"

_TRIAL_COLUMNS = (
    *("trial_id", "dataset", "dataset_hash", "network", "defense", "grid_radius", "train_radius"),
    *("learning_rate", "batch_size", "scaling", "steps", "seed", "split_seed"),
    "options",
)
_CURVE_TRIAL_COLUMNS = (
    *("trial_id", "dataset", "network", "defense", "grid_radius", "learning_rate"),
    *("batch_size", "scaling", "seed"),
)


@dataclass(frozen=True)
class Origin:
    """Where a record comes from."""

    experiment: str
    git_commit: str
    simulated: bool = False


def build_records(
    pack: Pack, info: DatasetInfo, evaluation: Evaluation, origin: Origin, outcome: PackOutcome
) -> pa.Table:
    """One row per trial, split, attack and radius; null accuracies unless it is complete."""
    where = _evaluation_columns(info, evaluation)
    columns = _common_columns(pack, info, origin, outcome.device) | {
        "status": [own.status for own in outcome.trials],
        "diverged_step": [own.diverged_step for own in outcome.trials],
        "pack_size": [own.trained_together or len(pack) for own in outcome.trials],
        "train_steps_per_second": [own.steps_per_second for own in outcome.trials],
        "train_seconds": [own.train_seconds for own in outcome.trials],
        "evaluation_seconds": [own.evaluation_seconds for own in outcome.trials],
        "flags": [own.assessment.flags for own in outcome.trials],
        "error": [own.assessment.problem for own in outcome.trials],
    }
    accuracy = np.concatenate([_accuracies(own, evaluation) for own in outcome.trials])
    samples = [
        own.assessment.num_samples.get(split, 0)
        for own in outcome.trials
        for split, _ in split_attacks(evaluation)
    ]
    cells = {
        "accuracy": pa.array(accuracy, mask=~np.isfinite(accuracy)),
        "num_samples": pa.array(np.repeat(samples, len(evaluation.attack_grid_radii))),
    }
    return _table(columns, where, cells)


def _accuracies(outcome: Outcome, evaluation: Evaluation) -> Floats:
    """A trial's accuracies in the order of its rows; NaN where it is not complete."""
    if outcome.status != "complete":
        return np.full(rows_per_trial(evaluation), np.nan)
    accuracy = outcome.assessment.accuracy
    return np.concatenate([accuracy[split, attack] for split, attack in split_attacks(evaluation)])


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


def split_attacks(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Every (split, attack) that has rows, in order."""
    return [(split, attack) for split in schema.SPLITS for attack in evaluated_attacks(evaluation)]


def _evaluation_columns(info: DatasetInfo, evaluation: Evaluation) -> dict[str, list[object]]:
    """The columns that are alike for every trial of the pack, one entry per row of a trial."""
    names = ("split", "attack", "attack_norm", "attack_grid_radius", "attack_radius")
    columns: dict[str, list[object]] = {name: [] for name in names}
    grid_radii = evaluation.attack_grid_radii
    for split, attack in split_attacks(evaluation):
        norm = attack_norm(attack)
        columns["split"] += [split] * len(grid_radii)
        columns["attack"] += [attack] * len(grid_radii)
        columns["attack_norm"] += [norm] * len(grid_radii)
        columns["attack_grid_radius"] += grid_radii
        columns["attack_radius"] += attack_radii(evaluation, norm, info.num_features)
    return columns


def _common_columns(
    pack: Pack, info: DatasetInfo, origin: Origin, device: str
) -> dict[str, Sequence[object]]:
    """The columns that depend on the trial only, one entry per trial."""
    count = len(pack)
    columns: dict[str, Sequence[object]] = {
        name: [getattr(trial, name) for trial in pack.trials] for name in _TRIAL_COLUMNS
    }
    same = {
        "schema_version": schema.SCHEMA_VERSION,
        "experiment": origin.experiment,
        "pack_id": pack.pack_id,
        "git_commit": origin.git_commit,
        "num_features": info.num_features,
        "num_classes": info.num_classes,
        "device": device,
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
