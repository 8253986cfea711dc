"""The only reader of records: rows -> checked and numbered `Records`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pandas as pd
import polars as pl

from analysis.commands import commands, quoted
from analysis.files import curve_rows, frame_rows, record_rows
from analysis.locate import Source
from analysis.names import SPELLINGS, adopt
from analysis.protocols import mixture, tell_apart, versions_of_code, without
from analysis.protocols import notes as protocol_notes
from analysis.recordings import (
    cells_of,
    check_recordings,
    check_values,
    number,
    once,
    recordings_of,
    repetition_notes,
    rules_of,
    values_of,
)
from analysis.records import Provenance, Records
from analysis.rises import with_rises

_IS_CNN = pl.col("network").str.starts_with("cnn")
_IMAGE_SETS = [spelling for known in SPELLINGS.values() for spelling in known]
_FAMILY = pl.when(_IS_CNN).then(pl.lit("cnn")).otherwise(pl.lit("mlp"))


def load(
    source: Source,
    allow_simulated: bool = False,
    datasets: Iterable[str] | None = None,
    protocol: int = 1,
) -> Records:
    """Read, check and number the records of a source.

    Args:
        source: the files, and which trials of them count.
        allow_simulated: accept made-up records.
        datasets: read these data sets only (default: all).
        protocol: which of the protocols of each data set to analyse (`analysis.protocols`);
            data sets that have fewer are left out.

    Raises:
        ValueError: a missing column, mixed or foreign schema versions, simulated records
            without the flag, accuracies outside [0, 1], no record at all, or no such protocol.
    """
    wanted = None if datasets is None else frozenset(datasets)
    rows, strong = (record_rows(f, wanted) for f in (source.record_files, source.strong_files))
    asked = _Asked(allow_simulated, whole=wanted is None, protocol=protocol)
    return _assemble(rows, strong, source, asked)


def from_frame(frame: pd.DataFrame, protocol: int = 1) -> Records:
    """Return records held in memory (columns of `sweep.results.schema.RECORD_COLUMNS`)."""
    source = Source("records", (), (), Path())
    return _assemble(frame_rows(frame), record_rows(()), source, _Asked(protocol=protocol))


@dataclass(frozen=True)
class _Asked:
    """What was asked for; `whole`: all data sets were read, so that none at all is a mistake."""

    allow_simulated: bool = True
    whole: bool = True
    protocol: int = 1


def _assemble(rows: pl.LazyFrame, strong: pl.LazyFrame, source: Source, asked: _Asked) -> Records:
    recordings = recordings_of(rows)
    if source.trial_ids is not None:
        recordings = recordings.filter(pl.col("trial_id").is_in(list(source.trial_ids)))
    if asked.whole or not recordings.is_empty():
        check_recordings(recordings, asked.allow_simulated)
    for manifest in source.manifests:
        adopt(cast(Mapping[str, str], manifest.get("labels", {})))
    numbered = number(recordings)
    # Radii equal to 6 digits are one: more digits are rounding, as of one written as float32.
    measured = pl.concat([rows, strong]).with_columns(
        pl.col("attack_grid_radius").round_sig_figs(6)
    )
    cells = cells_of(measured)
    values, again = once(check_values(values_of(measured, numbered, cells), numbered.trials))
    rules = rules_of(rows, numbered)
    trials = numbered.trials.with_columns(family=_FAMILY)
    found = [
        *_absent(source, trials, asked.whole),
        *repetition_notes(numbered.repeated, again, trials),
    ]
    parts = trials.partition_by("leaky") if not trials.is_empty() else [trials]
    main, *with_label = (
        _records(part, values, cells, rules, source, asked)
        for part in sorted(parts, key=lambda part: part["leaky"].any())
    )
    theirs = (f"leaky trials: {note}" for side in with_label for note in side.provenance.notes)
    provenance = replace(main.provenance, notes=(*found, *main.provenance.notes, *theirs))
    return replace(main, provenance=provenance, with_label=with_label[0] if with_label else None)


def _records(
    trials: pl.DataFrame,
    values: pl.DataFrame,
    cells: pl.DataFrame,
    rules: pl.DataFrame,
    source: Source,
    asked: _Asked,
) -> Records:
    """Return the records of some trials, those of one protocol per data set alone.

    Raises:
        ValueError: no trial follows the protocol asked for.
    """
    values = _of(trials, values)
    trials = _derive(trials, values, cells)
    trials = with_rises(trials, values, cells)
    told, protocols = tell_apart(trials, values, cells, rules)
    kept = told.filter(pl.col("protocol") == asked.protocol)
    if kept.is_empty() and asked.whole and not told.is_empty():
        most = max(p.number for p in protocols)
        raise ValueError(
            f"protocol={asked.protocol} has no trial; these records have protocols 1 to {most}"
        )
    values = _of(kept, values)
    notes = [*protocol_notes(protocols, asked.protocol), *without(told, asked.protocol)]
    ranked = kept.filter((pl.col("family") == "mlp") & ~pl.col("dataset").is_in(_IMAGE_SETS))
    return Records(
        trials=kept.drop("protocol"),
        cells=cells,
        validation=values.filter(~pl.col("is_test")).drop("is_test"),
        test=values.filter("is_test").drop("is_test"),
        curves=_curves(source, kept),
        provenance=Provenance(
            name=source.name,
            files=len(source.record_files),
            manifests=source.manifests,
            notes=(*notes, *mixture(ranked), *versions_of_code(kept)),
            folder=source.out.parent,
        ),
    )


def _of(trials: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """Return the values of some trials."""
    if trials.height == values["trial"].n_unique():
        return values
    return values.join(trials.select("trial"), on="trial", how="semi", maintain_order="left")


def _absent(source: Source, trials: pl.DataFrame, whole: bool) -> list[str]:
    """Return a line on the trials that a manifest asks for and no record has."""
    if source.trial_ids is None or not whole:
        return []
    asked, there = len(source.trial_ids), trials.filter(pl.col("status") != "failed").height
    if there >= asked:
        return []
    runs = quoted(commands(source.name, source.manifests))
    return [f"{asked - there} of {asked} trials have no result yet; run {runs}"]


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
    """Return the curves of the recordings that count; what was read twice counts once."""
    keep = trials.lazy().select("trial_id", "pack_id")
    rows = curve_rows(source.curve_files).join(keep, on=["trial_id", "pack_id"], how="semi")
    return rows.unique(["trial_id", "step", "quantity", "norm", "radius"], keep="any")
