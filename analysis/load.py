"""The only reader of records: rows -> checked and numbered `Records`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import polars as pl

from analysis.locate import Source
from analysis.records import Provenance, Records
from analysis.scan import conform, scan_curves, scan_records
from sweep.schema import RECORD_COLUMNS, SCHEMA_VERSION, SPLITS, STATUSES

CELL = ("attack", "attack_norm", "attack_grid_radius")
VALUE_COLUMNS = ("split", *CELL, "attack_radius", "accuracy", "num_samples")
TRIAL_COLUMNS = tuple(c for c in RECORD_COLUMNS if c not in VALUE_COLUMNS)

_IS_CNN = pl.col("network").str.starts_with("cnn")
_FAMILY = pl.when(_IS_CNN).then(pl.lit("cnn")).otherwise(pl.lit("mlp"))


def load(
    source: Source, allow_simulated: bool = False, datasets: Iterable[str] | None = None
) -> Records:
    """Read, check and number the records of a source.

    Args:
        source: the files, and which trials of them count.
        allow_simulated: accept made-up records.
        datasets: read these data sets only (default: all).

    Raises:
        ValueError: a missing column, mixed or foreign schema versions, simulated records
            without the flag, accuracies outside [0, 1], or no record at all.
    """
    return _assemble(scan_records(source.record_files), source, allow_simulated, datasets)


def from_frame(frame: pd.DataFrame) -> Records:
    """Return records held in memory (columns of `sweep.schema.RECORD_COLUMNS`)."""
    rows = pl.from_pandas(frame[[c for c in RECORD_COLUMNS if c in frame.columns]]).lazy()
    source = Source("records", (), (), Path())
    return _assemble(conform(rows, list(frame.columns)), source, allow_simulated=True)


def _assemble(
    rows: pl.LazyFrame,
    source: Source,
    allow_simulated: bool,
    datasets: Iterable[str] | None = None,
) -> Records:
    if datasets is not None:
        datasets = list(datasets)
        rows = rows.filter(pl.col("dataset").is_in(datasets))
    recordings = _recordings(rows, source.trial_ids)
    if datasets is None or not recordings.is_empty():
        _check_recordings(recordings, allow_simulated)
    trials, notes = _number(recordings)
    cells = _cells(rows)
    values = _values(rows, trials, cells)
    _check_values(values)
    return Records(
        trials=_derive(trials, values, cells),
        cells=cells,
        validation=values.filter(~pl.col("is_test")).drop("is_test"),
        test=values.filter("is_test").drop("is_test"),
        curves=_curves(source, trials),
        provenance=Provenance(
            name=source.name,
            files=len(source.record_files),
            manifests=source.manifests,
            notes=(*_absent(source, trials, datasets), *notes, *_oddities(trials)),
            folder=source.out.parent,
        ),
    )


def _recordings(rows: pl.LazyFrame, ids: frozenset[str] | None) -> pl.DataFrame:
    """Return one row per trial and pack: a trial that was run twice has two."""
    identity = ("trial_id", "pack_id", "status", "schema_version")
    # A trial's rows mostly follow one another: dropping those that repeat the row before them
    # is much cheaper than hashing every row.
    changed = pl.any_horizontal(pl.col(c).ne_missing(pl.col(c).shift(1)) for c in identity)
    seen = (
        rows.select(TRIAL_COLUMNS)
        .filter(changed)
        .unique(subset=identity)
        .collect(engine="streaming")
    )
    return seen if ids is None else seen.filter(pl.col("trial_id").is_in(list(ids)))


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


def _number(recordings: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return one row per trial, numbered in tie order, and notes on what was left out."""
    rank = pl.col("status").replace_strict({s: i for i, s in enumerate(STATUSES)})
    trials = (
        recordings.sort(rank, "pack_id")
        .unique(subset="trial_id", keep="first", maintain_order=True)
        .sort("grid_radius", "learning_rate", "trial_id")
        .with_row_index("trial")
        .with_columns(family=_FAMILY)
    )
    repeated = recordings.height - trials.height
    notes = (f"{repeated} repeated recordings of a trial were left out",) if repeated else ()
    return trials, notes


def _absent(source: Source, trials: pl.DataFrame, datasets: Iterable[str] | None) -> list[str]:
    """Return a line on the trials that a manifest asks for and no record has."""
    if source.trial_ids is None or datasets is not None:
        return []
    asked, there = len(source.trial_ids), trials.filter(pl.col("status") != "failed").height
    if there >= asked:
        return []
    commands = " and ".join(
        f"`python sweep/run.py +experiment={name}`" for name in source.name.split("+")
    )
    return [f"{asked - there} of {asked} trials have no result yet; {commands} adds them"]


def _oddities(trials: pl.DataFrame) -> list[str]:
    hashes = (
        trials.group_by("dataset", "split_seed")
        .agg(pl.col("dataset_hash").n_unique())
        .filter(pl.col("dataset_hash") > 1)
    )
    names = ", ".join(sorted(set(hashes["dataset"])))
    return [f"several versions of the data are mixed for: {names}"] if names else []


def _cells(rows: pl.LazyFrame) -> pl.DataFrame:
    """Return the attacks and radii that occur; radii equal to 12 digits share a number."""
    raw = rows.select(CELL).unique().collect(engine="streaming")
    rounded = pl.col("attack_grid_radius").round_sig_figs(12)
    return raw.with_columns(
        pl.col("attack_grid_radius").alias("recorded"), attack_grid_radius=rounded
    ).with_columns(
        pl.struct(CELL).rank("dense").cast(pl.UInt16).alias("cell"),
    )


def _values(rows: pl.LazyFrame, trials: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    splits = rows.select(pl.col("split").unique()).collect(engine="streaming")["split"]
    unknown = sorted(set(splits) - set(SPLITS))
    if unknown:
        raise ValueError(f"unknown split {unknown[0]!r}; allowed: {', '.join(SPLITS)}")
    packs = ["trial_id", "pack_id", "status"]
    places = ["attack", "attack_norm", "recorded"]
    return (
        rows.select(*packs, *VALUE_COLUMNS)
        .rename({"attack_grid_radius": "recorded"})
        .join(trials.lazy().select(*packs, "trial"), on=packs)
        .join(cells.lazy().select(*places, "cell"), on=places)
        .select(
            "trial",
            "cell",
            "attack_radius",
            "accuracy",
            pl.col("num_samples").cast(pl.Int32),
            (pl.col("split") == "test").alias("is_test"),
        )
        .collect(engine="streaming")
    )


def _check_values(values: pl.DataFrame) -> None:
    low, high = values.select(low=pl.col("accuracy").min(), high=pl.col("accuracy").max()).row(0)
    if low is not None and (low < 0 or high > 1 or high != high):
        raise ValueError(f"accuracies range from {low} to {high}; they must lie in [0, 1]")


def _derive(trials: pl.DataFrame, values: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Fill the pack size and the number of features where records lack them."""
    trials = trials.with_columns(
        pl.when(pl.col("pack_size") > 0)
        .then("pack_size")
        .otherwise(pl.len().over("pack_id"))
        .alias("pack_size")
    )
    if (trials["num_features"] > 0).all():
        return trials
    # An L1 ball's radius is its grid radius times sqrt(D).
    l1 = cells.filter((pl.col("attack_norm") == "l1") & (pl.col("attack_grid_radius") > 0))
    ratio = (pl.col("attack_radius") / pl.col("attack_grid_radius")) ** 2
    derived = (
        values.join(l1, on="cell")
        .join(trials.select("trial", "dataset"), on="trial")
        .group_by("dataset")
        .agg(ratio.median().round().cast(pl.Int64).alias("derived"))
    )
    known = pl.when(pl.col("num_features") > 0).then("num_features")
    return (
        trials.join(derived, on="dataset", how="left", maintain_order="left")
        .with_columns(known.otherwise(pl.col("derived").fill_null(0)).alias("num_features"))
        .drop("derived")
    )


def _curves(source: Source, trials: pl.DataFrame) -> pl.LazyFrame:
    keep = trials.lazy().select("trial_id", "pack_id")
    return scan_curves(source.curve_files).join(keep, on=["trial_id", "pack_id"], how="semi")
