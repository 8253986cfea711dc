"""What MLflow shows of a pack: parameters and about 20 metrics per trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sweep.hashing import content_hash
from sweep.results.parquet import read_table

_PARAMETERS = (
    *("dataset", "network", "defense", "grid_radius", "train_radius", "learning_rate"),
    *("batch_size", "scaling", "steps", "seed", "split_seed", "num_features", "num_classes"),
)
_SPEEDS = ("train_steps_per_second", "train_seconds", "evaluation_seconds", "diverged_step")
_GRID_RADII = (0.1, 0.5)  # accuracies are shown at the attack radii nearest to these


@dataclass(frozen=True)
class TrialRun:
    """One child run."""

    trial_id: str
    name: str
    status: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    rows: pa.Table  # the trial's own records


@dataclass(frozen=True)
class PackRun:
    """One parent run, and its children."""

    pack_id: str
    fingerprint: str
    name: str
    failed: bool
    tags: Mapping[str, str]
    trials: tuple[TrialRun, ...]
    ended: float  # seconds since 1970


def fingerprint(statuses: Mapping[str, str]) -> str:
    """What tells whether MLflow has a pack's records as they are now: its trials' statuses."""
    return content_hash(sorted(statuses.items()))


def read_pack(path: Path) -> PackRun:
    """Read a pack's records file."""
    table = read_table(path)
    trials = tuple(_trial_run(rows) for rows in _by_trial(table))
    first = {name: table[name][0].as_py() for name in table.column_names}
    same = ("pack_id", "dataset", "dataset_hash", "network", "defense", "batch_size", "scaling")
    tags = {name: str(first[name]) for name in (*same, "steps", "seed", "device", "git_commit")}
    return PackRun(
        pack_id=first["pack_id"],
        fingerprint=fingerprint({trial.trial_id: trial.status for trial in trials}),
        name=f"{first['dataset']} {first['network']} {first['defense']} x{len(trials)}",
        failed=any(trial.status == "failed" for trial in trials),
        tags=tags | {"kind": "pack", "trials": str(len(trials))},
        trials=trials,
        ended=path.stat().st_mtime,
    )


def _by_trial(table: pa.Table) -> list[pa.Table]:
    """Cut a table into its trials, whose rows lie together."""
    ids = table["trial_id"].combine_chunks().dictionary_encode()
    lengths = ids.value_counts().field("counts").to_pylist()
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    return [table.slice(start, length) for start, length in zip(starts, lengths, strict=True)]


def _trial_run(rows: pa.Table) -> TrialRun:
    first: dict[str, Any] = {name: rows[name][0].as_py() for name in rows.column_names}
    speeds = {name: first[name] for name in _SPEEDS if first[name] is not None}
    tags = {"kind": "trial", "trial_id": first["trial_id"], "status": first["status"]}
    tags |= {name: str(first[name]) for name in ("dataset_hash", "pack_id", "git_commit")}
    tags |= {"simulated": "true"} if first["simulated"] else {}
    tags |= {"error": first["error"][:4000]} if first["error"] else {}
    return TrialRun(
        trial_id=first["trial_id"],
        name=(
            f"{first['dataset']} {first['defense']} r={first['grid_radius']:g} "
            f"lr={first['learning_rate']:g}"
        ),
        status=first["status"],
        parameters={name: _text(first[name]) for name in _PARAMETERS},
        metrics=speeds | _accuracies(rows),
        tags=tags,
        rows=rows,
    )


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _accuracies(rows: pa.Table) -> dict[str, float]:
    """Clean accuracy of both splits, and test accuracy under each attack at a few radii."""
    names = ("split", "attack", "attack_grid_radius", "accuracy")
    columns = [rows[name].to_pylist() for name in names]
    found: dict[tuple[str, str, float], float] = {}
    radii: dict[str, list[float]] = {}
    for split, attack, radius, accuracy in zip(*columns, strict=True):
        if accuracy is None:
            continue
        found[split, attack, radius] = accuracy
        if split == "test" and radius > 0:
            radii.setdefault(attack, []).append(radius)
    metrics = {f"{split}_clean_accuracy": a for (split, _, r), a in found.items() if r == 0}
    for attack, all_radii in radii.items():
        for radius in dict.fromkeys(_nearest(all_radii, wanted) for wanted in _GRID_RADII):
            metrics[f"test/{attack}/{radius:g}"] = found["test", attack, radius]
    return metrics


def _nearest(radii: list[float], wanted: float) -> float:
    return min(radii, key=lambda radius: abs(math.log(radius / wanted)))
