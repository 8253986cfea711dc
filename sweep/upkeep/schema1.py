"""Rows of schema 1 as rows of schema 2 (pure).

Schema 1 had one id for training and evaluation together, and told in the column `options` only
what differed from the defaults of its time, which are written down here. Schema 2 says all of it
in columns. Rows become rows; no number changes, and none is made up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from robust import defenses
from robust.evaluate import CERTIFICATES
from sweep.config.schema import Data, SweepConfig, Training
from sweep.grid.options import curve_options, training_options
from sweep.grid.rows import evaluation_options
from sweep.hashing import canonical, content_hash
from sweep.pack import autoattack
from sweep.results import identity, schema

VERSION: Final = 1
# What its trial ids were the hash of; the version of numerics was in no column.
_HASHED: Final = (
    *("dataset", "dataset_hash", "scaling", "network", "defense", "grid_radius", "train_radius"),
    *("learning_rate", "batch_size", "steps", "seed", "split_seed", "options"),
)
_NUMERICS: Final = (3, 2, 1)  # versions under which schema 1 was written
# An option that a row does not name had this value.
_DEFAULTS: Final[Mapping[str, Any]] = {
    "loss": "cross-entropy",
    "nested": False,
    "engine": "packed",
    "restarts": None,
    "max_samples": None,
    "keep_target_column": False,
    "curve_every": 500,
    "trace_every": 0,
    "bound_checks": False,
    "tf32": False,
    "simulate": False,
}

_TYPES: Final[Mapping[str, pl.DataType]] = {
    "string": pl.String(),
    "bool": pl.Boolean(),
    "float64": pl.Float64(),
    "int32": pl.Int32(),
    "int64": pl.Int64(),
}
_IDS: Final = ("trial_id", "new_id")
_EVALUATED: Final = (
    *("options", "dataset_hash", "split", "attack", "attack_grid_radius", "attack_radius"),
    "num_samples",
)
_TOLD: Final = (
    *("training_options", "curve_options", "numerics_version"),
    *("evaluation_options", "evaluation_id"),
)

Row = Mapping[str, Any]

NO_OPTIONS = "they do not say with which options they were made (column `options`)"
OTHER_IDS = "their ids are not the hash of their columns"


@dataclass(frozen=True)
class Brought:
    """What of a table of records could be brought along.

    Attributes:
        rows: in today's columns.
        ids: old trial id -> new one.
        left: why trials were left behind -> how many.
    """

    rows: pl.DataFrame
    ids: Mapping[str, str]
    left: Mapping[str, int]


def numerics_version(row: Row) -> int | None:
    """Return the version of numerics under which the id of a row is the hash of its columns."""
    values = {name: row[name] for name in _HASHED}
    for version in _NUMERICS:
        if content_hash({**values, "numerics_version": version}) == row["trial_id"]:
            return version
    return None


def trial_columns(row: Row) -> dict[str, Any]:
    """Return what schema 2 says of the training of a row of schema 1.

    Args:
        row: columns of schema 1.

    Returns:
        Columns by name, the new trial id among them.

    Raises:
        ValueError: no options, an id of other columns, or a defense that is not known here.
    """
    if row["options"] is None:
        raise ValueError(NO_OPTIONS)
    version = numerics_version(row)
    if version is None:
        raise ValueError(OTHER_IDS)
    options = {**_DEFAULTS, **json.loads(row["options"])}
    training = Training(
        steps=row["steps"],
        loss=options["loss"],
        tf32=options["tf32"],
        curve_every=options["curve_every"],
        trace_every=options["trace_every"],
    )
    data = Data(keep_target_column=options["keep_target_column"])
    config = SweepConfig(training=training, data=data, simulate=options["simulate"])
    told = {
        "training_options": canonical(training_options(config, defenses.get(row["defense"]))),
        "curve_options": canonical(curve_options(training, options["bound_checks"])),
        "numerics_version": version,
    }
    return told | {"new_id": identity.trial_id({**row, **told})}


def evaluation_columns(row: Row, radii: Sequence[float]) -> dict[str, Any]:
    """Return what schema 2 says of the evaluation of a row of schema 1.

    Args:
        row: columns of schema 1.
        radii: the true radii of all rows of its trial and attack.

    Raises:
        ValueError: an attack that this program does not know.
    """
    told = {"evaluation_options": canonical(_rules(row, radii))}
    return told | {"evaluation_id": identity.evaluation_id({**row, **told})}


def _rules(row: Row, radii: Sequence[float]) -> Mapping[str, object]:
    """The rules that the accuracy of a row follows from."""
    options = {**_DEFAULTS, **json.loads(row["options"])}
    attack, radius = row["attack"], row["attack_radius"]
    if attack.startswith("autoattack-"):
        return autoattack.evaluation_options(row["num_samples"])
    nested = options["nested"] and attack not in CERTIFICATES
    rules = evaluation_options(
        attack,
        engine=options["engine"],
        restarts=options["restarts"],
        max_samples=options["max_samples"],
        nested=sorted({r for r in radii if 0 < r < radius}) if nested else (),
    )
    # Certificates were of the weights in exact arithmetic.
    return {name: value for name, value in rules.items() if name != "precision"}


def bring(rows: pl.DataFrame) -> Brought:
    """Return rows of schema 1 as rows of schema 2, and which could not be brought along.

    A trial is brought along whole or left behind.

    Args:
        rows: columns of schema 1; some may be missing that have a stand-in.
    """
    old = _with_stand_ins(rows)
    trials, reasons = _told_trials(old.select("trial_id", *_HASHED).unique(maintain_order=True))
    evaluations, unknown = _told_evaluations(old.filter(~pl.col("trial_id").is_in(list(reasons))))
    reasons |= {
        trial: unknown[attack]
        for trial, attack in old.select("trial_id", "attack").unique().iter_rows()
        if attack in unknown and trial not in reasons
    }
    kept = old.filter(~pl.col("trial_id").is_in(list(reasons)))
    new = (
        kept.drop(*_TOLD)
        .join(trials, on="trial_id", maintain_order="left")
        .join(evaluations, on=_EVALUATED, maintain_order="left")
        .with_columns(trial_id="new_id", schema_version=pl.lit(schema.SCHEMA_VERSION, pl.Int32))
    )
    ids = dict(
        trials.filter(pl.col("trial_id").is_in(kept["trial_id"].to_list())).select(_IDS).rows()
    )
    return Brought(new.select(*schema.RECORD_COLUMNS), ids, Counter(reasons.values()))


def _with_stand_ins(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns of both schemas; what today's add is null until it is told."""
    kinds = {name: kind for name, (kind, _) in schema.RECORD_COLUMNS.items()} | {
        "options": "string"
    }
    return rows.with_columns(
        pl.lit(schema.STAND_INS.get(name), _TYPES[kind]).alias(name)
        for name, kind in kinds.items()
        if name not in rows.columns
    )


def _told_trials(trials: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """What schema 2 says of each trial; by the id of another one, why it says nothing."""
    told: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    for row in trials.to_dicts():
        try:
            told.append({"trial_id": row["trial_id"], **trial_columns(row)})
        except ValueError as error:
            reasons[row["trial_id"]] = str(error)
    kinds = dict.fromkeys((*_IDS, "training_options", "curve_options"), pl.String())
    return pl.DataFrame(told, schema={**kinds, "numerics_version": pl.Int64()}), reasons


def _told_evaluations(rows: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, str]]:
    """What schema 2 says of each evaluation; by attack, why it says nothing."""
    told: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    for _, group in (
        rows.select(_EVALUATED)
        .unique(maintain_order=True)
        .group_by("options", "dataset_hash", "attack", maintain_order=True)
    ):
        radii = group["attack_radius"].to_list()
        for row in group.to_dicts():
            try:
                told.append({**row, **evaluation_columns(row, radii)})
            except ValueError as error:
                reasons[row["attack"]] = str(error)
    kinds = {name: rows.schema[name] for name in _EVALUATED}
    kinds |= {"evaluation_options": pl.String(), "evaluation_id": pl.String()}
    return pl.DataFrame(told, schema=kinds), reasons
