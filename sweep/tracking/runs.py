"""What MLflow shows of networks, made from their records and curves (no MLflow here)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from robust.registry import is_weighted
from sweep.hashing import content_hash
from sweep.results import schema
from sweep.results.parquet import read_table
from sweep.tracking import names

_PARAMETERS = (
    *("dataset", "network", "defense", "grid_radius", "train_radius", "learning_rate"),
    *("batch_size", "scaling", "steps", "seed", "split_seed", "num_features", "num_classes"),
)
_SPEEDS = (names.RATE, "train_seconds", "evaluation_seconds", "diverged_step")
_CERTIFIED = "certified-"
SOURCE = "sweep/run.py"
DIVERGED = "diverged"  # stands for the hash of weights

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Point:
    """A value measured while a network trained, after `step` updates."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class DataUse:
    """The data that a network was trained on."""

    name: str
    digest: str  # the hash of its arrays and split
    profile: Mapping[str, object]


@dataclass(frozen=True)
class NetworkRun:
    """One run: a trained network, all that is recorded of it.

    Attributes:
        headline: metrics that every experiment has, as far as it evaluated them.
        further: the accuracies in all other balls.
        tags: by which runs are found.
        description: further tags, for whoever looks at the run.
        points: its curves.
        started, ended: of the pack that trained it, in seconds since 1970.
        weights: the hash of its weights; `DIVERGED` where it has none, empty where none is known.
    """

    trial_id: str
    name: str
    status: str
    parameters: Mapping[str, str]
    headline: Mapping[str, float]
    further: Mapping[str, float]
    points: tuple[Point, ...]
    tags: Mapping[str, str]
    description: Mapping[str, str]
    data: DataUse
    started: float
    ended: float
    weights: str
    rows: pa.Table = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """What tells whether MLflow has all of this as it is now."""
        points = [(point.name, point.step, _text(point.value)) for point in self.points]
        values = {name: _text(v) for name, v in {**self.headline, **self.further}.items()}
        tags = {**self.tags, **self.description}
        return content_hash([dict(self.parameters), values, points, tags])


def read_runs(
    path: Path, others: Iterable[Path] = (), curves: Iterable[Path] = ()
) -> list[NetworkRun]:
    """Return the networks of a records file, with all that is recorded of them.

    Args:
        path: the file.
        others: further files that may hold rows of the same networks.
        curves: files that may hold what was measured while they trained.
    """
    ids = read_table(path)["trial_id"].unique()
    tables: list[pa.Table] = []
    times: dict[str, tuple[float, float]] = {}
    for file in sorted({path, *others}, key=lambda file: (file.stat().st_mtime_ns, file)):
        whole, ended = read_table(file), file.stat().st_mtime
        tables.append(_only(whole, ids))
        for trial in tables[-1]["trial_id"].unique().to_pylist():
            # The first of its files is of the pack that trained it.
            times.setdefault(trial, (ended - _seconds(whole), ended))
    points = _points(_only(read_table(file), ids) for file in curves)
    table = pa.concat_tables(tables, promote_options="permissive")
    return [
        _network_run(rows, points.get(trial, ()), *times[trial])
        for trial, rows in _by_trial(table).items()
    ]


def _only(table: pa.Table, trial_ids: pa.Array) -> pa.Table:
    return table.filter(pa.compute.is_in(table["trial_id"], value_set=trial_ids))


def _by_trial(table: pa.Table) -> dict[str, pa.Table]:
    """Cut a table into its trials, in the order in which these come first."""
    places: dict[str, list[int]] = {}
    for place, trial in enumerate(table["trial_id"].to_pylist()):
        places.setdefault(trial, []).append(place)
    return {trial: table.take(where) for trial, where in places.items()}


def _seconds(table: pa.Table) -> float:
    """What a pack took: the sum of its trials' shares."""
    shares = ("trial_id", "train_seconds", "evaluation_seconds")
    of_trial = dict(zip(table["trial_id"].to_pylist(), _rows(table, shares), strict=True))
    taken = (row[name] for row in of_trial.values() for name in shares[1:])
    return math.fsum(t for t in taken if t is not None and math.isfinite(t))


def _rows(table: pa.Table, columns: Sequence[str]) -> list[Record]:
    rows: list[Record] = table.select(list(columns)).to_pylist()
    return rows


def _network_run(
    rows: pa.Table, points: Sequence[Point], started: float, ended: float
) -> NetworkRun:
    first: Record = rows.slice(0, 1).to_pylist()[0]
    balls = _balls(rows)
    headline = _speeds(first) | _headline(balls)
    flags = _flags(rows)
    return NetworkRun(
        trial_id=first["trial_id"],
        name=names.run_name(first),
        status=first["status"],
        parameters={name: _text(first[name]) for name in _PARAMETERS},
        headline=headline,
        further={name: v for name, v in _further(balls).items() if name not in headline},
        points=tuple(points),
        tags=_tags(first, flags),
        description=_description(first, flags, headline),
        data=_data(first),
        started=started,
        ended=ended,
        weights=DIVERGED if first["status"] == "diverged" else first["weights_hash"] or "",
        rows=rows,
    )


_Balls = Mapping[tuple[str, str, float], float]  # (split, attack or norm, grid radius) -> accuracy


def _balls(rows: pa.Table) -> _Balls:
    """Return the recorded accuracies, and under each norm the lowest of its attacks."""
    columns = ("split", "attack", "attack_norm", "attack_grid_radius", "accuracy")
    balls: dict[tuple[str, str, float], float] = {}
    for row in _rows(rows, columns):
        split, attack, norm, radius, accuracy = (row[name] for name in columns)
        if accuracy is None:
            continue
        balls[split, attack, radius] = accuracy
        if not (attack.startswith(_CERTIFIED) or is_weighted(attack)):
            lowest = balls.get((split, norm, radius), math.inf)
            balls[split, norm, radius] = min(lowest, accuracy)
    return balls


def _headline(balls: _Balls) -> dict[str, float]:
    """Return clean accuracies, test accuracies at the named radii, and mean certified radii."""
    found = {
        names.CLEAN if split == "test" else f"{split}_{names.CLEAN}": accuracy
        for (split, _, radius), accuracy in balls.items()
        if radius == 0
    }
    for (split, kind, radius), accuracy in balls.items():
        every = kind in names.NORMS or kind.startswith(_CERTIFIED)
        if split == "test" and radius in (names.NAMED_RADII if every else (names.RADIUS,)):
            found[names.accuracy(kind, radius)] = accuracy
    for kind in sorted({kind for _, kind, _ in balls if kind.startswith(_CERTIFIED)}):
        found[f"{names.word(kind)}_mean_radius"] = _mean_radius(balls, kind)
    return found


def _mean_radius(balls: _Balls, kind: str) -> float:
    """Return what the mean certified grid radius is at least.

    The mean of a radius R >= 0 is the integral of P(R >= r) over r; between two recorded radii
    P(R >= r) is at least its value at the larger.
    """
    steps = sorted(
        (r, a) for (split, name, r), a in balls.items() if (split, name) == ("test", kind)
    )
    inner = [0.0, *(radius for radius, _ in steps)]
    return math.fsum((r - before) * a for before, (r, a) in zip(inner, steps, strict=False))


def _further(balls: _Balls) -> dict[str, float]:
    """Return test accuracies in every ball, and the others' at the named radii."""
    return {
        ("" if split == "test" else f"{split}_") + names.accuracy(kind, radius): accuracy
        for (split, kind, radius), accuracy in balls.items()
        if split == "test" or radius in names.NAMED_RADII
    }


def _speeds(first: Record) -> dict[str, float]:
    found = {name: first[name] for name in _SPEEDS}
    return {name: float(v) for name, v in found.items() if v is not None and math.isfinite(v)}


def _flags(rows: pa.Table) -> list[str]:
    """Return the flags of a network: those of its rows."""
    texts = rows["flags"].unique().to_pylist()
    return sorted({flag for text in texts for flag in text.split()})


def _tags(first: Record, flags: Sequence[str]) -> dict[str, str]:
    commit = str(first["git_commit"]).partition("+")[0]
    tags = {"kind": "trial", "mlflow.source.name": SOURCE, "mlflow.source.git.commit": commit}
    tags |= {name: str(first[name]) for name in ("trial_id", "status", "pack_id", "dataset_hash")}
    tags |= {name: "true" for name in ("simulated", "leaky") if first[name]}
    tags |= {"flags": " ".join(flags)} if flags else {}
    return tags | ({"error": first["error"][:4000]} if first["error"] else {})


def _description(
    first: Record, flags: Sequence[str], headline: Mapping[str, float]
) -> dict[str, str]:
    found = {name: str(first[name]) for name in ("git_commit", "device")}
    found |= {"mlflow.source.type": "LOCAL"}
    return found | {"mlflow.note.content": _note(first, flags, headline)}


def _note(first: Record, flags: Sequence[str], headline: Mapping[str, float]) -> str:
    """Return a description of a network in Markdown."""
    radius = f" at grid radius {names.plain(first['grid_radius'])}" if first["grid_radius"] else ""
    lines = [f"`{first['network']}` trained on {first['dataset']} by {first['defense']}{radius}."]
    lines += {
        "complete": [f"Clean test accuracy {headline.get(names.CLEAN, math.nan):.3f}."],
        "diverged": [f"Diverged at step {first['diverged_step']}: it has no accuracy."],
        "failed": ["Failed; the same command of the sweep tries again."],
    }[first["status"]]
    lines += [f"Flag `{flag}`: {schema.FLAGS.get(flag, 'unknown')}." for flag in flags]
    lines += [f"Into a file: `robust-sweep networks export {first['trial_id']}`"]
    return "\n\n".join(lines)


def _data(first: Record) -> DataUse:
    columns = ("num_features", "num_classes", "scaling", "split_seed", "leaky")
    profile = {name: first[name] for name in columns}
    return DataUse(first["dataset"], first["dataset_hash"], profile)


def _points(tables: Iterable[pa.Table]) -> dict[str, list[Point]]:
    """Return the curves of each trial; `validation_accuracy` and whatever else was measured."""
    columns = ("trial_id", "quantity", "norm", "radius", "step", "value")
    found: dict[str, list[Point]] = {}
    for table in tables:
        for row in _rows(table, columns):
            if row["value"] is not None and math.isfinite(row["value"]):
                point = Point(_curve_name(row), row["value"], row["step"])
                found.setdefault(row["trial_id"], []).append(point)
    return found


def _curve_name(row: Record) -> str:
    if row["norm"] is None or row["radius"] is None:
        return names.word(row["quantity"])
    return f"{names.word(row['quantity'])}_{names.accuracy(row['norm'], row['radius'])}"


def _text(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
