"""The minimum over a norm's two attacks, PGD and fast gradient, as the paper's tables have it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.records import REPETITION, Records
from analysis.select import selected

ATTACKS = ("pgd-l2", "fgm-l2", "pgd-l1", "fgm-l1", "pgd-linf", "fgsm-linf")
PLACE = ("attack_norm", "attack_grid_radius")


def weakest(records: Records, datasets: Sequence[str], keys: Sequence[str] = ()) -> pl.DataFrame:
    """Return per data set, defense, norm, radius and repetition the minimum over both attacks.

    Each attack selects for itself; the minimum is that of the two test accuracies, and the trial
    and what goes with it are those of the attack that has it, the first by name in a tie. Where
    one of the two has no result the minimum is missing. Where one was not run on the data set in
    that norm at all, for no defense, the other stands alone; `attacks` says so.

    Args:
        records: all records.
        datasets: those wanted.
        keys: further trial columns to choose within, such as `scaling`.
    """
    within = sorted(datasets) if keys else None  # what all tables share is chosen once for all
    tested = selected(records, "mlp", keys, within).filter(
        pl.col("dataset").is_in(datasets) & pl.col("attack").is_in(ATTACKS)
    )
    run = pl.col("attack").n_unique().over("dataset", "attack_norm")
    group = ["dataset", "defense", *keys, *PLACE, *REPETITION]
    kept = ["accuracy", "tied", "tied_low", "tied_high", "attack_radius", "num_samples", "trial"]
    kept.append("ties")
    return (
        tested.with_columns(run=run)
        .drop_nulls("accuracy")
        .sort("accuracy", "attack")
        .group_by(*group, maintain_order=True)
        .agg(
            pl.col(kept).first(),
            pl.col("candidates").max(),
            pl.col("attack").sort().str.join("+").alias("attacks"),
            pl.len().alias("there"),
            pl.col("run").first(),
        )
        .filter(pl.col("there") == pl.col("run"))
        .drop("there", "run")
    )
