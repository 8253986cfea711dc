"""The flag `not-decreasing`: a larger ball that seems easier to survive than a smaller one.

It is about several rows of a trial, which may have been measured at different times, so that it is
raised by whoever reads all of them.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from analysis.autoattack import PREFIX

FLAG: Final = "not-decreasing"
SIGMAS: Final = 3.0


def with_rises(trials: pl.DataFrame, values: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Return the trials, `not-decreasing` among the flags of those that deserve it.

    Of n samples of both splits k_1 survive some radius and k_2 a larger one. The rise counts where
    k_2 - k_1 > 3 sqrt(k_1 (n - k_1) / n + k_2 (n - k_2) / n), three standard deviations of two
    independent counts. The smallest count of all smaller radii is k_1.

    Args:
        trials: one row per trial, with `flags`.
        values: rows `trial, cell, accuracy, num_samples`.
        cells: `cell, attack, attack_grid_radius`, numbered by attack and then by radius.
    """
    attacked = cells.filter(~pl.col("attack").str.contains(f"^(certified|{PREFIX})"))
    coded = attacked.select("cell", kind=pl.col("attack").rank("dense").cast(pl.UInt16))
    kept = (pl.col("accuracy") * pl.col("num_samples")).round()
    counts = (
        values.lazy()
        .join(coded.lazy(), on="cell")
        .drop_nulls("accuracy")
        .group_by("trial", "kind", "cell")
        .agg(k=kept.sum(), n=pl.col("num_samples").sum().cast(pl.Float64))
        .sort("trial", "kind", "cell")
    )
    low = pl.col("k").cum_min().shift(1).over("trial", "kind")
    k, n = pl.col("k"), pl.col("n")
    noise = (low * (n - low).clip(0) / n + k * (n - k) / n).sqrt()
    rising = (
        counts.filter(k - low > SIGMAS * noise)
        .select("trial")
        .unique()
        .collect(engine="streaming")
    )
    flagged = pl.concat_str(pl.col("flags"), pl.lit(FLAG), separator=" ").str.strip_chars()
    found = pl.col("trial").is_in(rising["trial"].implode())
    return trials.with_columns(flags=pl.when(found).then(flagged).otherwise("flags"))
