"""The only reader of records: Parquet files -> validated `Records`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from analysis.locate import Source
from analysis.records import Provenance, Records
from sweep.schema import CURVE_COLUMNS, RECORD_COLUMNS, SCHEMA_VERSION, SPLITS, STATUSES

# Columns that records made elsewhere may lack, and what stands for them.
OPTIONAL: dict[str, object] = {
    "split_seed": 0,
    "num_features": 0,  # derived from the radii
    "num_classes": 0,
    "pack_size": 0,  # derived: the trials that share a pack id
    "train_seconds": None,
    "evaluation_seconds": None,
    "device": "",
    "leaky": False,
    "simulated": False,
    "flags": "",
    "error": None,
}
VALUE_COLUMNS = (
    *("split", "attack", "attack_norm", "attack_grid_radius", "attack_radius"),
    *("accuracy", "num_samples"),
)
TRIAL_COLUMNS = tuple(c for c in RECORD_COLUMNS if c not in VALUE_COLUMNS)
_TYPES: dict[str, pl.DataType] = {
    "int32": pl.Int32(),
    "int64": pl.Int64(),
    "float64": pl.Float64(),
    "string": pl.String(),
    "bool": pl.Boolean(),
}


def load(source: Source, allow_simulated: bool = False) -> Records:
    """Read, check and number the records of a source.

    Raises:
        ValueError: a missing column, mixed or foreign schema versions, simulated records
            without the flag, accuracies outside [0, 1], or no record at all.
    """
    return _assemble(_scan(source.record_files), source, allow_simulated)


def _assemble(rows: pl.LazyFrame, source: Source, allow_simulated: bool) -> Records:
    recordings = _recordings(rows, source.trial_ids)
    _check_recordings(recordings, allow_simulated)
    trials, notes = _trials(recordings)
    values = _values(rows, trials)
    _check_values(values)
    trials = _derive(trials, values)
    test = values.filter(pl.col("split") == "test").drop("split")
    validation = values.filter(pl.col("split") == "validation").drop("split")
    provenance = Provenance(
        source.name, len(source.record_files), source.manifests, notes, source.out.parent
    )
    return Records(trials, validation, test, _scan_curves(source, trials), provenance)


def _scan(files: Sequence[Path]) -> pl.LazyFrame:
    """Return all rows in the schema's types, whichever optional columns each file has."""
    by_columns: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        by_columns.setdefault(_columns_of(file), []).append(file)
    parts = []
    for columns, group in by_columns.items():
        missing = [c for c in RECORD_COLUMNS if c not in columns and c not in OPTIONAL]
        if missing:
            raise ValueError(f"{group[0]} is no record file: it lacks {', '.join(missing)}")
        scan = pl.scan_parquet(group, extra_columns="ignore", cast_options=_CASTS)
        parts.append(_conform(scan, columns))
    return pl.concat(parts)


def _conform(rows: pl.LazyFrame, columns: Sequence[str]) -> pl.LazyFrame:
    return rows.select(_column(name, columns) for name in RECORD_COLUMNS)


_CASTS = pl.ScanCastOptions(integer_cast="upcast", float_cast="upcast")


def _columns_of(file: Path) -> tuple[str, ...]:
    try:
        schema = pq.read_schema(file)
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read as Parquet: {error}") from error
    return tuple(f"{name}" for name in schema.names)


def _column(name: str, present: Sequence[str]) -> pl.Expr:
    dtype = _TYPES[RECORD_COLUMNS[name][0]]
    if name in present:
        return pl.col(name).cast(dtype)
    return pl.lit(OPTIONAL[name], dtype=dtype).alias(name)


def _recordings(rows: pl.LazyFrame, ids: frozenset[str] | None) -> pl.DataFrame:
    """Return one row per trial and pack: a trial that was run twice has two."""
    seen = (
        rows.select(TRIAL_COLUMNS)
        .unique(subset=["trial_id", "pack_id", "status", "schema_version"])
        .collect(engine="streaming")
    )
    return seen if ids is None else seen.filter(pl.col("trial_id").is_in(list(ids)))


def _trials(recordings: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return one row per trial, numbered in tie order, and notes on what was left out."""
    rank = pl.col("status").replace_strict({s: i for i, s in enumerate(STATUSES)})
    trials = (
        recordings.sort(rank, "pack_id")
        .unique(subset="trial_id", keep="first", maintain_order=True)
        .sort("grid_radius", "learning_rate", "trial_id")
        .with_row_index("trial")
    )
    repeated = recordings.height - trials.height
    notes = (f"{repeated} repeated recordings of a trial were left out",) if repeated else ()
    return trials, notes


def _check_recordings(trials: pl.DataFrame, allow_simulated: bool) -> None:
    if trials.is_empty():
        raise ValueError("no records: the files hold no row of this experiment")
    versions = sorted(trials["schema_version"].unique().to_list())
    if len(versions) > 1:
        raise ValueError(f"records mix schema versions {versions}; give one sweep's records")
    if versions != [SCHEMA_VERSION]:
        raise ValueError(
            f"records have schema version {versions[0]}; this code reads {SCHEMA_VERSION}"
        )
    unknown = sorted(set(trials["status"].unique()) - set(STATUSES))
    if unknown:
        raise ValueError(f"unknown status {unknown[0]!r}; allowed: {', '.join(STATUSES)}")
    if trials["simulated"].any() and not allow_simulated:
        raise ValueError("records are simulated (made up); say allow_simulated=true to use them")
    mixed = trials.group_by("dataset").agg(pl.col("leaky").n_unique()).filter(pl.col("leaky") > 1)
    if not mixed.is_empty():
        raise ValueError(
            f"records of data set {mixed['dataset'].min()!r} mix leaky=true (label kept as a"
            " feature) with leaky=false; give one experiment at a time"
        )


def _values(rows: pl.LazyFrame, trials: pl.DataFrame) -> pl.DataFrame:
    numbers = trials.lazy().select("trial_id", "pack_id", "status", "trial")
    return (
        rows.select("trial_id", "pack_id", "status", *VALUE_COLUMNS)
        .join(numbers, on=["trial_id", "pack_id", "status"])
        .select("trial", *VALUE_COLUMNS)
        .with_columns(
            pl.col("split", "attack", "attack_norm").cast(pl.Categorical),
            pl.col("attack_grid_radius").round_sig_figs(12),
            pl.col("num_samples").cast(pl.Int32),
        )
        .collect(engine="streaming")
    )


def _check_values(values: pl.DataFrame) -> None:
    splits = set(values["split"].unique().cast(pl.String)) - set(SPLITS)
    if splits:
        raise ValueError(f"unknown split {sorted(splits)[0]!r}; allowed: {', '.join(SPLITS)}")
    low, high = values.select(low=pl.col("accuracy").min(), high=pl.col("accuracy").max()).row(0)
    if low is not None and (low < 0 or high > 1 or high != high):
        raise ValueError(f"accuracies range from {low} to {high}; they must lie in [0, 1]")


def _derive(trials: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """Fill the pack size and the number of features where records lack them."""
    trials = trials.with_columns(
        pl.when(pl.col("pack_size") > 0)
        .then("pack_size")
        .otherwise(pl.len().over("pack_id"))
        .alias("pack_size")
    )
    if (trials["num_features"] > 0).all():
        return trials
    ratio = (pl.col("attack_radius") / pl.col("attack_grid_radius")) ** 2
    derived = (
        values.filter((pl.col("attack_norm") == "l1") & (pl.col("attack_grid_radius") > 0))
        .join(trials.select("trial", "dataset"), on="trial")
        .group_by("dataset")
        .agg(ratio.median().round().cast(pl.Int64).alias("derived"))
    )
    return (
        trials.join(derived, on="dataset", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("num_features") > 0)
            .then("num_features")
            .otherwise(pl.col("derived").fill_null(0))
            .alias("num_features")
        )
        .drop("derived")
    )


def _scan_curves(source: Source, trials: pl.DataFrame) -> pl.LazyFrame:
    schema = {name: _TYPES[kind] for name, (kind, _) in CURVE_COLUMNS.items()}
    if not source.curve_files:
        return pl.LazyFrame(schema=schema)
    scan = pl.scan_parquet(list(source.curve_files), extra_columns="ignore", cast_options=_CASTS)
    keep = trials.lazy().select("trial_id", "pack_id")
    return scan.select(pl.col(n).cast(t) for n, t in schema.items()).join(
        keep, on=["trial_id", "pack_id"], how="semi"
    )


def from_frame(frame: pd.DataFrame) -> Records:
    """Return records held in memory (columns of `sweep.schema.RECORD_COLUMNS`)."""
    rows = pl.from_pandas(frame[[c for c in RECORD_COLUMNS if c in frame.columns]]).lazy()
    rows = _conform(rows, list(frame.columns))
    return _assemble(rows, Source("records", (), (), Path()), allow_simulated=True)
