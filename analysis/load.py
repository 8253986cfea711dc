"""The only reader of records: rows -> checked and numbered `Records`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import polars as pl

from analysis.checks import check_recordings, check_values, oddities
from analysis.chunks import of_frame, read
from analysis.commands import commands, quoted
from analysis.gather import CELL, Gathered, gather
from analysis.locate import Source
from analysis.names import adopt
from analysis.records import Provenance, Records
from analysis.scan import scan_curves
from sweep.schema import STATUSES

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
    wanted = None if datasets is None else frozenset(datasets)
    rows = gather(read(source.record_files, wanted), read(source.strong_files, wanted))
    return _assemble(rows, source, allow_simulated, whole=wanted is None)


def from_frame(frame: pd.DataFrame) -> Records:
    """Return records held in memory (columns of `sweep.schema.RECORD_COLUMNS`)."""
    source = Source("records", (), (), Path())
    return _assemble(gather(of_frame(frame)), source, allow_simulated=True, whole=True)


def _assemble(rows: Gathered, source: Source, allow_simulated: bool, whole: bool) -> Records:
    """Return the records; `whole`: all data sets were read, so that none at all is a mistake."""
    recordings = rows.recordings.with_row_index("recording")
    if source.trial_ids is not None:
        recordings = recordings.filter(pl.col("trial_id").is_in(list(source.trial_ids)))
    if whole or not recordings.is_empty():
        check_recordings(recordings, allow_simulated)
    for manifest in source.manifests:
        adopt(cast(Mapping[str, str], manifest.get("labels", {})))
    trials, notes = _number(recordings)
    provenance = Provenance(
        name=source.name,
        files=len(source.record_files),
        manifests=source.manifests,
        notes=(*_absent(source, trials, whole), *notes, *oddities(trials)),
        folder=source.out.parent,
    )
    with_label = trials.filter("leaky")
    if with_label.height in (0, trials.height):
        return _records(trials, rows, source, provenance)
    apart = _records(with_label, rows, source, provenance)
    return _records(trials.filter(~pl.col("leaky")), rows, source, provenance, apart)


def _records(
    trials: pl.DataFrame,
    rows: Gathered,
    source: Source,
    provenance: Provenance,
    with_label: Records | None = None,
) -> Records:
    cells = _cells(rows.places)
    values = check_values(_values(rows, trials, cells), trials)
    return Records(
        trials=_derive(trials.drop("recording"), values, cells),
        cells=cells.drop("place"),
        validation=values.filter(~pl.col("is_test")).drop("is_test"),
        test=values.filter("is_test").drop("is_test"),
        curves=_curves(source, trials),
        provenance=provenance,
        with_label=with_label,
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


def _absent(source: Source, trials: pl.DataFrame, whole: bool) -> list[str]:
    """Return a line on the trials that a manifest asks for and no record has."""
    if source.trial_ids is None or not whole:
        return []
    asked, there = len(source.trial_ids), trials.filter(pl.col("status") != "failed").height
    if there >= asked:
        return []
    runs = quoted(commands(source.name, source.manifests))
    return [f"{asked - there} of {asked} trials have no result yet; run {runs}"]


def _cells(places: pl.DataFrame) -> pl.DataFrame:
    """Return the attacks and radii that occur; radii equal to 12 digits share a number."""
    return (
        places.with_row_index("place")
        .with_columns(pl.col("attack_grid_radius").round_sig_figs(12))
        .with_columns(pl.struct(CELL).rank("dense").cast(pl.UInt16).alias("cell"))
    )


def _values(rows: Gathered, trials: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return the values of some trials under their numbers."""
    values = rows.values
    highest = values["recording"].max()
    lookup = np.full(1 + (highest if isinstance(highest, int) else 0), -1, dtype=np.int64)
    lookup[trials["recording"].to_numpy()] = trials["trial"].to_numpy()
    trial = lookup[values["recording"].to_numpy()]
    cell = cells["cell"].to_numpy()[values["place"].to_numpy()]
    numbered = values.drop("recording", "place").select(
        pl.Series("trial", trial), pl.Series("cell", cell), pl.all()
    )
    kept = numbered if (trial >= 0).all() else numbered.filter(pl.col("trial") >= 0)
    return kept.with_columns(pl.col("trial").cast(pl.UInt32))


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
        values.join(l1.unique("cell"), on="cell")
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
