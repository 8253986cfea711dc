"""From a pack's measurements to its two tables.

Legend: P trials of the pack, R attack radii.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robust.training.monitor import Observation
from sweep.config.schema import Evaluation
from sweep.datasets import DatasetInfo
from sweep.grid.expand import attack_radii
from sweep.grid.options import attack_norm, evaluated_attacks
from sweep.grid.packing import Pack
from sweep.results import schema, store

Floats = NDArray[np.float64]
VALIDATION_ACCURACY = "validation_accuracy"
Curve = Sequence[tuple[int, Sequence[float | None]]]

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
class Measured:
    """What training and evaluating a pack gave; every sequence has one entry per trial."""

    diverged_step: tuple[int | None, ...]
    accuracy: Mapping[tuple[str, str], Floats]  # (split, attack) -> [P, R]; empty if failed
    num_samples: Mapping[str, int]  # split -> samples evaluated
    trained_together: tuple[int, ...]  # networks in the program that trained this one
    steps_per_second: tuple[float, ...]  # of that program, summed over its networks
    train_seconds: tuple[float, ...]  # this network's share
    evaluation_seconds: tuple[float, ...]
    flags: tuple[str, ...]  # of `schema.FLAGS`, separated by spaces
    problems: tuple[str | None, ...]  # why a trial's accuracies cannot be believed
    observations: tuple[tuple[Observation, ...], ...]
    curve: Curve
    device: str
    resumed_step: int = 0  # the step at which training was taken up from a checkpoint
    seconds_before: float = 0.0  # of training, in processes that died

    @property
    def status(self) -> tuple[schema.Status, ...]:
        """What became of each trial."""
        return tuple(
            "failed" if problem is not None else "complete" if step is None else "diverged"
            for step, problem in zip(self.diverged_step, self.problems, strict=True)
        )


def join(first: Measured, second: Measured) -> Measured:
    """Put the measurements of two halves of a pack together."""
    one, two = dict(first.curve), dict(second.curve)
    sequences = {
        field.name: (*getattr(first, field.name), *getattr(second, field.name))
        for field in fields(Measured)
        if isinstance(getattr(first, field.name), tuple) and field.name != "curve"
    }
    return Measured(
        **sequences,
        accuracy={
            key: np.concatenate([values, second.accuracy[key]])
            for key, values in first.accuracy.items()
        },
        num_samples=first.num_samples,
        curve=tuple((step, (*one[step], *two[step])) for step in one),
        device=first.device,
        resumed_step=max(first.resumed_step, second.resumed_step),
        seconds_before=first.seconds_before + second.seconds_before,
    )


@dataclass(frozen=True)
class Origin:
    """Where a record comes from."""

    experiment: str
    git_commit: str
    simulated: bool = False


def build_records(
    pack: Pack, info: DatasetInfo, evaluation: Evaluation, origin: Origin, measured: Measured
) -> pa.Table:
    """One row per trial, split, attack and radius; null accuracies unless it is complete."""
    where = _evaluation_columns(info, evaluation, measured)
    rows = len(where["split"])
    accuracy = np.stack(
        [measured.accuracy[key] for key in blocks(evaluation)], axis=1
    )  # [P, splits * attacks, R]
    accuracy = accuracy.reshape(len(pack), rows)
    lost = np.array([status != "complete" for status in measured.status])
    columns = _common_columns(pack, info, origin, measured.device) | {
        "status": measured.status,
        "diverged_step": measured.diverged_step,
        "pack_size": measured.trained_together,
        "train_steps_per_second": measured.steps_per_second,
        "train_seconds": measured.train_seconds,
        "evaluation_seconds": measured.evaluation_seconds,
        "flags": measured.flags,
        "error": measured.problems,
    }
    missing = np.repeat(lost, rows) | ~np.isfinite(accuracy.ravel())
    return _table(columns, where, pa.array(accuracy.ravel(), mask=missing))


def build_failed_records(
    pack: Pack, info: DatasetInfo, evaluation: Evaluation, origin: Origin, error: str
) -> pa.Table:
    """The rows of a pack that failed: null accuracies and the error in one line."""
    where = _evaluation_columns(info, evaluation, None)
    rows = len(where["split"])
    nothing = [None] * len(pack)
    columns = _common_columns(pack, info, origin, "unknown") | {
        "status": ["failed"] * len(pack),
        "diverged_step": nothing,
        "pack_size": [len(pack)] * len(pack),
        "train_steps_per_second": nothing,
        "train_seconds": nothing,
        "evaluation_seconds": nothing,
        "flags": [""] * len(pack),
        "error": [error] * len(pack),
    }
    return _table(columns, where, pa.nulls(len(pack) * rows, pa.float64()))


def build_curves(pack: Pack, origin: Origin, measured: Measured) -> pa.Table:
    """The second table: what was measured of each trial while it trained."""
    rows = []
    for index, trial in enumerate(pack.trials):
        common = {name: getattr(trial, name) for name in _CURVE_TRIAL_COLUMNS}
        common |= {"schema_version": schema.SCHEMA_VERSION, "experiment": origin.experiment}
        common |= {"pack_id": pack.pack_id}
        rows += [
            common | {"quantity": VALIDATION_ACCURACY, "step": step, "value": values[index]}
            for step, values in measured.curve
        ]
        for seen in measured.observations[index]:
            own = trial.grid_radius if seen.norm is not None else None
            ball = {"radius": own if seen.radius is None else seen.radius}
            rows.append(common | asdict(seen) | ball)
    return pa.Table.from_pylist(rows, schema=store.CURVES)


def blocks(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Every (split, attack) that has rows, in order."""
    return [(split, attack) for split in schema.SPLITS for attack in evaluated_attacks(evaluation)]


def _evaluation_columns(
    info: DatasetInfo, evaluation: Evaluation, measured: Measured | None
) -> dict[str, list[object]]:
    """The columns that are alike for every trial of the pack, one entry per row of a trial."""
    columns: dict[str, list[object]] = {
        name: []
        for name in (
            *("split", "attack", "attack_norm", "attack_grid_radius", "attack_radius"),
            "num_samples",
        )
    }
    grid_radii = evaluation.attack_grid_radii
    for split, attack in blocks(evaluation):
        norm = attack_norm(attack)
        samples = 0 if measured is None else measured.num_samples[split]
        columns["split"] += [split] * len(grid_radii)
        columns["attack"] += [attack] * len(grid_radii)
        columns["attack_norm"] += [norm] * len(grid_radii)
        columns["attack_grid_radius"] += grid_radii
        columns["attack_radius"] += attack_radii(evaluation, norm, info.num_features)
        columns["num_samples"] += [samples] * len(grid_radii)
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
    accuracy: pa.Array,
) -> pa.Table:
    """Cross the trials with the rows that each of them has."""
    rows = len(per_row["split"])
    trials = len(per_trial["trial_id"])
    of_trial = pa.array(np.repeat(np.arange(trials), rows))
    of_row = pa.array(np.tile(np.arange(rows), trials))
    arrays = []
    for column in store.RECORDS:
        if column.name == "accuracy":
            arrays.append(accuracy)
        elif column.name in per_trial:
            arrays.append(pa.array(per_trial[column.name], column.type).take(of_trial))
        else:
            arrays.append(pa.array(per_row[column.name], column.type).take(of_row))
    return pa.Table.from_arrays(arrays, schema=store.RECORDS)
