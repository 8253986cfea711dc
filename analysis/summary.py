"""The ranking that the sweep and the analysis print at their ends."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import polars as pl

from analysis import strong
from analysis.load import from_frame
from analysis.names import label
from analysis.pixels import unscaled
from analysis.ranks import attacked_accuracies, comparisons, mean_ranks
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
    ranks = mean_ranks(_ranked(loaded))
    if ranks.empty:
        return pd.DataFrame(columns=["defense", "mean_rank", "datasets", "best_cells", "cells"])
    lowest = ranks.groupby(["attack", "attack_grid_radius"])["mean_rank"].transform("min")
    ranks["best"] = ranks["mean_rank"] == lowest
    table = ranks.groupby("defense").agg(
        mean_rank=("mean_rank", "mean"),
        datasets=("datasets", "min"),
        best_cells=("best", "sum"),
        cells=("best", "size"),
    )
    return table.reset_index().sort_values(["mean_rank", "defense"]).reset_index(drop=True)


def _ranked(records: Records) -> pl.DataFrame:
    datasets = records.tabular_datasets or records.datasets
    return attacked_accuracies(records, datasets).filter(pl.col("attack").str.starts_with("pgd-"))


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


def outline(records: Records) -> str:
    """Return what the records are, in a few lines: counts, what is missing, what looks odd."""
    statuses = records.trials["status"]
    diverged, failed = (int((statuses == s).sum()) for s in ("diverged", "failed"))
    lines = [
        f"{records.provenance.name}: {records.trials.height} trials ({diverged} diverged, "
        f"{failed} failed) on {len(records.datasets)} data sets"
        + (", SIMULATED" if records.simulated else "")
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in notes(records))])


def notes(records: Records) -> list[str]:
    """Return what a reader must know before believing a number, one line each."""
    found = list(records.provenance.notes)
    trials = records.trials
    if records.simulated:
        found.append("these records are made up: nothing here says anything about a defense")
    if records.leaky:
        found.append(f"LEAKY: the label was kept as a feature of {', '.join(records.datasets)}")
    if records.with_label is not None:
        names = ", ".join(records.with_label.datasets)
        found.append(
            f"{records.with_label.trials.height} leaky trials, on data that keep the label as a "
            f"feature ({names}), are apart: only the table `leak` shows them"
        )
    found += _left_out_of_ranks(records)
    found += strong.note(records)
    scaleless = ", ".join(unscaled(records))
    if scaleless:
        found.append(f"radii of {scaleless} cannot be given in pixels: no scale is known")
    failed = trials.filter(pl.col("status") == "failed")
    if not failed.is_empty():
        causes = failed["error"].fill_null("no message").value_counts(sort=True)
        found.append(f"{failed.height} trials failed, most often: {causes['error'][0]}")
    flags: Counter[str] = Counter(f for row in trials["flags"] for f in row.split())
    found += [f"{n} trials carry the flag {flag}" for flag, n in sorted(flags.items())]
    return found


def _left_out_of_ranks(records: Records) -> list[str]:
    """Say, if so, that ranks stand on fewer data sets than there are, and which defenses lack."""
    cells = list(comparisons(_ranked(records)))
    if not cells:
        return []
    total = len(records.tabular_datasets or records.datasets)
    fewest = min(cells, key=lambda cell: len(cell.datasets))
    if len(fewest.datasets) == total:
        return []
    present = zip(fewest.defenses, fewest.present, strict=True)
    lacking = ", ".join(f"{label(d)} on {n}" for d, n in present if n < total)
    return [
        f"ranks stand on as few as {len(fewest.datasets)} of {total} data sets, those with a "
        f"result of every defense; there are results of {lacking}"
    ]
