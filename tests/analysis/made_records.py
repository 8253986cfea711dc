"""Records small enough to work out by hand."""

from __future__ import annotations

import pandas as pd

from analysis.load import from_frame
from analysis.records import Records
from sweep.results.schema import RECORD_COLUMNS, SCHEMA_VERSION

BASE: dict[str, object] = {
    "schema_version": SCHEMA_VERSION,
    "experiment": "made",
    "pack_id": "p0",
    "status": "complete",
    "diverged_step": None,
    "dataset": "iris",
    "dataset_hash": "d0",
    "network": "mlp-3x200",
    "defense": "nominal",
    "grid_radius": 0.0,
    "learning_rate": 1e-3,
    "batch_size": 256,
    "scaling": "standardized",
    "steps": 5000,
    "seed": 0,
    "attack": "pgd-linf",
    "attack_grid_radius": 0.1,
    "num_samples": 100,
    "train_steps_per_second": 10.0,
    "git_commit": "c0",
    "split_seed": 0,
    "num_features": 4,
    "num_classes": 3,
    "pack_size": 1,
    "train_seconds": 1.0,
    "evaluation_seconds": 1.0,
    "device": "cpu",
    "leaky": False,
    "simulated": False,
    "flags": "",
    "error": None,
    "training_options": None,
    "numerics_version": 3,
    "curve_options": None,
    "evaluation_id": None,
    "evaluation_options": None,
    "weights_hash": None,
    "source_fingerprint": None,
    "evaluation_fingerprint": None,
}
NULLABLE = [name for name, (kind, null) in RECORD_COLUMNS.items() if null and kind == "string"]


def rows_of(
    trial_id: str, validation: float | None, test: float | None, **values: object
) -> list[dict[str, object]]:
    """Return the validation and the test record of one trial under one attack and radius."""
    row = {**BASE, **values, "trial_id": trial_id}
    norm = str(row["attack"]).split("-")[1]
    row.setdefault("attack_norm", norm)
    root = 1.0 if norm == "linf" else float(str(row["num_features"])) ** 0.5
    row.setdefault("attack_radius", float(str(row["attack_grid_radius"])) * root)
    row.setdefault("train_radius", row["grid_radius"])
    return [
        {**row, "split": "validation", "accuracy": validation},
        {**row, "split": "test", "accuracy": test},
    ]


def frame_of(*rows: list[dict[str, object]]) -> pd.DataFrame:
    """Return rows as a frame in the schema's column order."""
    frame = pd.DataFrame([row for pair in rows for row in pair])
    frame["accuracy"] = frame["accuracy"].astype("float64")
    frame["diverged_step"] = frame["diverged_step"].astype("Int64")
    for name in NULLABLE:
        frame[name] = frame[name].astype("string")
    return frame[list(RECORD_COLUMNS)]


def records_of(*rows: list[dict[str, object]]) -> Records:
    """Return rows as loaded records."""
    return from_frame(frame_of(*rows))
