"""The ranking that the sweep and the analysis print at their ends."""

from __future__ import annotations

import pandas as pd
import polars as pl

from analysis.load import from_frame
from analysis.names import label
from analysis.ranks import attacked_accuracies, mean_ranks
from analysis.records import Records


def ranking(records: pd.DataFrame | Records) -> pd.DataFrame:
    """Return each defense's mean rank over PGD attacks, their radii and the data sets.

    Args:
        records: loaded records, or a frame with the columns of `sweep.schema.RECORD_COLUMNS`.

    Returns:
        Columns `defense, mean_rank, datasets, best_cells, cells`, best rank first. Ranks are by
        test accuracy of the trials chosen on validation, over the tabular data sets (the image
        ones where there are no others) on which every defense has a result; `best_cells` counts
        the attack x radius cells whose lowest mean rank a defense has.
    """
    loaded = records if isinstance(records, Records) else from_frame(records)
    accuracies = attacked_accuracies(loaded, loaded.tabular_datasets or loaded.datasets).filter(
        pl.col("attack").str.starts_with("pgd-")
    )
    ranks = mean_ranks(accuracies)
    lowest = ranks.groupby(["attack", "attack_grid_radius"])["mean_rank"].transform("min")
    ranks["best"] = ranks["mean_rank"] == lowest
    table = ranks.groupby("defense").agg(
        mean_rank=("mean_rank", "mean"),
        datasets=("datasets", "min"),
        best_cells=("best", "sum"),
        cells=("best", "size"),
    )
    return table.reset_index().sort_values(["mean_rank", "defense"]).reset_index(drop=True)


def text(table: pd.DataFrame) -> str:
    """Return the ranking as lines for a terminal."""
    if table.empty:
        return "no ranking: no data set has PGD results of every defense"
    lines = [f"{'defense':<14}{'mean rank':>10}{'best at':>12}{'data sets':>11}"]
    for row in table.itertuples():
        share = f"{row.best_cells}/{row.cells}"
        lines.append(
            f"{label(str(row.defense)):<14}{row.mean_rank:>10.2f}{share:>12}{row.datasets:>11}"
        )
    return "\n".join(lines)
