"""Every selected accuracy in one frame: what the interactive part of the report shows.

A measure is what an accuracy is of: the minimum over PGD and fast gradient in a norm, any other
attack, or a certificate; of convolutional networks each attack for itself.
"""

from __future__ import annotations

import polars as pl

from analysis.certificates import PREFIX, proof_title
from analysis.names import label, norm_label
from analysis.records import Records
from analysis.select import mean_over_repetitions, paired, selected
from analysis.statistics import binomial_interval
from analysis.weakest import ATTACKS, PLACE, weakest

MINIMUM = "minimum"
MOST_NAMED = 4  # trials of one cell whose ids are kept; `tied` counts all
_COLUMNS = ("dataset", "measure", *PLACE, "defense")
_KEPT = (
    *("family", "attack", *_COLUMNS, "seed", "split_seed", "ties", "attack_radius", "accuracy"),
    *("tied", "tied_low", "tied_high", "candidates", "num_samples"),
)


def measurements(records: Records) -> pl.DataFrame:
    """Return one row per data set, measure, radius and defense.

    Returns:
        `family, attack, dataset, measure, attack_norm, attack_grid_radius, attack_radius, defense,
        accuracy, low, high` (95% binomial), `num_samples, repetitions, tied`, and `trials`, the
        ids of the first `MOST_NAMED` trials chosen. `measure` is a key; `measure_title` names it.
    """
    chosen = pl.concat([_minima(records), _others(records)])
    rows = paired(chosen.drop_nulls("accuracy"), ["dataset", "measure", *PLACE])
    means = mean_over_repetitions(rows, _COLUMNS)
    ids = records.trials.select("trial_id", ties="trial")
    named = (
        rows.sort("seed", "split_seed")
        .explode("ties")
        .join(ids, on="ties", maintain_order="left")
        .group_by(_COLUMNS)
        .agg(
            pl.col("family", "attack", "attack_radius").first(),
            pl.col("trial_id").unique(maintain_order=True).head(MOST_NAMED).alias("trials"),
        )
    )
    frame = means.join(named, on=_COLUMNS)
    low, high = binomial_interval(frame["accuracy"].to_numpy(), frame["num_samples"].to_numpy())
    return frame.with_columns(low=pl.Series(low), high=pl.Series(high)).sort(_COLUMNS)


def _minima(records: Records) -> pl.DataFrame:
    rows = weakest(records, records.datasets)
    return rows.with_columns(
        family=pl.lit("mlp"),
        attack=pl.lit(MINIMUM),
        measure=pl.format("mlp {} {}", pl.lit(MINIMUM), "attack_norm"),
    ).select(_KEPT)


def _others(records: Records) -> pl.DataFrame:
    """Return what no minimum is over: other attacks, certificates, convolutional networks."""
    found = pl.concat([selected(records, family) for family in ("mlp", "cnn")])
    mine = ~pl.col("attack").is_in(ATTACKS) | (pl.col("family") == "cnn")
    measure = pl.format("{} {}", "family", "attack")
    return found.filter(mine).with_columns(measure=measure).select(_KEPT)


def measure_title(family: str, attack: str, norm: str) -> str:
    """Return what a measure is called in print."""
    if attack == MINIMUM:
        title = f"{norm_label(norm)}, minimum over PGD and fast gradient"
    elif attack.startswith(PREFIX):
        title = f"Certified {proof_title(attack, norm)}"
    else:
        title = f"{norm_label(norm)}, {label(attack)}"
    return title if family == "mlp" else f"{title}, convolutional networks"
