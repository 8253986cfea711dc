"""The ranking that the sweep and the analysis print at their ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import pandas as pd
import polars as pl

from analysis import autoattack, bands
from analysis.health import health, line
from analysis.load import from_frame
from analysis.names import label, norm_label
from analysis.pixels import unscaled
from analysis.ranks import COVERAGE, attacked_accuracies, comparisons, unfinished
from analysis.records import REPETITION, Records

TITLE = (
    "Mean rank across data sets (1 is best) within a norm and a band of radii, by the minimum\n"
    "over PGD and fast gradient"
)
_LINE = "{:<5}{:<7}{:<15}{:>5} {:<14}{:<15}{:>5} {:<20}{:>6}{:>6}"
HEADS = ("norm", "radii", "best", "rank", "95%", "second", "rank", "best over second", "p", "sets")
_NAME = 14  # characters of a defense's name in a line


def ranking(records: pd.DataFrame | Records) -> pd.DataFrame:
    """Return each defense's mean rank within every norm and band of radii.

    Args:
        records: loaded records, or a frame with the columns `RECORD_COLUMNS` of the schema.

    Returns:
        The columns of `bands.ranking`; empty where no two defenses can be compared.
    """
    return bands.ranking(records if isinstance(records, Records) else from_frame(records))


def text(table: pd.DataFrame) -> str:
    """Return the ranking as lines of at most 100 characters for a terminal."""
    if table.empty:
        return "no ranking: no two defenses have results on a common data set"
    lines = [_LINE.format(*HEADS)]
    for norm, band, best, rank, interval, second, *rest in ranking_cells(table):
        names = (_short(best), rank, interval, _short(second))
        lines.append(_LINE.format(norm, band, *names, *rest).rstrip())
    return "\n".join([*lines, *remarks(table)])


def ranking_cells(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return per norm and band the texts of `HEADS`, from the columns of `bands.ranking`."""
    rows: list[tuple[str, ...]] = []
    for (norm, band), cell in table.groupby(["attack_norm", "band"], sort=False):
        ranked = cell[cell["mean_rank"].notna()]
        best, second = ranked.iloc[0], ranked.iloc[1]
        p = second["holm_p"]
        rows.append(
            (
                "" if norm == bands.ANY else norm_label(str(norm)),
                str(band),
                label(str(best["defense"])),
                f"{best['mean_rank']:.2f}",
                interval_text(best),
                label(str(second["defense"])),
                f"{second['mean_rank']:.2f}",
                bands.verdict(best["friedman_p"], p),
                "" if pd.isna(p) else "<0.001" if p < 0.001 else f"{p:.3f}",
                f"{best['datasets']:.0f}/{best['total']:.0f}",
            )
        )
    return rows


def _short(name: str) -> str:
    half = _NAME // 2
    return name if len(name) <= _NAME else f"{name[: half - 1]}…{name[-half:]}"


def interval_text(row: Mapping[str, Any] | pd.Series) -> str:
    """Return the interval of a mean rank in brackets, nothing where there is none."""
    return "" if pd.isna(row["ci_low"]) else f"[{row['ci_low']:.2f}, {row['ci_high']:.2f}]"


def remarks(table: pd.DataFrame) -> list[str]:
    """Return what the ranking stands on, in lines, from the columns of `bands.ranking`."""
    rules = ", ".join(f"{band.name} {band.rule}" for band in bands.BANDS[1:])
    ranked = table[table["mean_rank"].notna()]
    fewest, most = ranked["repetitions"].min(), ranked["repetitions"].max()
    times = f"{fewest:.0f}" if fewest == most else f"{fewest:.0f} to {most:.0f}"
    lines = [
        f"grid radii: {rules}; a data set counts with the mean accuracy over a band",
        "p: Wilcoxon's signed-rank test, Holm's correction; ahead: it and Friedman's below 0.05",
        f"sets: data sets on which every ranked defense was run, of all; repetitions: {times}",
    ]
    lines += _single_attacks(ranked)
    outside = table[table["mean_rank"].isna()]
    if not outside.empty:
        named = ", ".join(_counted(outside, "run_on"))
        lines.append(f"left out, run on less than {COVERAGE:.0%} of the data sets: {named}")
    lost = ranked[ranked["unfinished"] > 0]
    if not lost.empty:
        named = ", ".join(_counted(lost, "unfinished"))
        lines.append(f"last where no network finished: {named}")
    return [line for whole in lines for line in wrap(whole, 99, subsequent_indent="  ")]


def _single_attacks(ranked: pd.DataFrame) -> list[str]:
    """Return a line on each norm in which some minimum is over one attack, the other not run."""
    norms = ranked[ranked["attack_norm"] != bands.ANY].drop_duplicates("attack_norm")
    return [
        f"{norm_label(str(row.attack_norm))}: not always a minimum, {row.attacks} was run"
        for row in norms.itertuples()
        if any("+" not in attacks for attacks in str(row.attacks).split(" or "))
    ]


def _counted(rows: pd.DataFrame, name: str) -> list[str]:
    """Return each defense with the largest of its numbers of data sets."""
    most = rows.groupby("defense", sort=False)[[name, "total"]].max()
    return [
        f"{label(str(defense))} (on {row[name]:.0f} of {row['total']:.0f})"
        for defense, row in most.iterrows()
    ]


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
    found += _unfinished_repetitions(records)
    found += autoattack.note(records)
    scaleless = ", ".join(unscaled(records))
    if scaleless:
        found.append(f"radii of {scaleless} cannot be given in pixels: no scale is known")
    failed = trials.filter(pl.col("status") == "failed")
    if not failed.is_empty():
        causes = failed["error"].fill_null("no message").value_counts(sort=True)
        found.append(f"{failed.height} trials failed, most often: {causes['error'][0]}")
    flagged = line(health(records))
    return [*found, flagged] if flagged else found


def _unfinished_repetitions(records: Records) -> list[str]:
    """Say, if so, that seeds or splits drop out as nothing of a defense finished in them."""
    finished = (pl.col("status") == "complete").any()
    repetitions = (
        records.trials.group_by("family", "dataset", "defense", *REPETITION)
        .agg(finished.alias("finished"))
        .join(unfinished(records), on=["dataset", "defense"], how="anti")
        .filter(~pl.col("finished"))
    )
    lacking = (
        repetitions.group_by("defense").agg(pl.len(), pl.col("dataset").n_unique()).sort("defense")
    )
    named = ", ".join(f"{label(d)} in {n} (on {sets} data sets)" for d, n, sets in lacking.rows())
    if not named:
        return []
    return [f"seeds or splits of which one defense finished no network count for none: {named}"]


def _left_out_of_ranks(records: Records) -> list[str]:
    """Say, if so, what ranks stand on: defenses left out, data sets left out, and who is last."""
    datasets = records.tabular_datasets or records.datasets
    under_pgd = pl.col("attack").str.starts_with("pgd-")
    cells = list(comparisons(attacked_accuracies(records, datasets).filter(under_pgd)))
    found = []
    outside = {d: (n, cell.total) for cell in cells for d, n in cell.left_out.items()}
    if outside:
        named = ", ".join(f"{label(d)} ({n} of {total})" for d, (n, total) in outside.items())
        found.append(
            f"defenses run on less than {COVERAGE:.0%} of the data sets are left out of ranks: "
            f"{named}"
        )
    fewest = max(cells, key=lambda cell: cell.total - len(cell.datasets), default=None)
    if fewest is not None and len(fewest.datasets) < fewest.total:
        run = zip(fewest.defenses, fewest.run_on, strict=True)
        lacking = ", ".join(f"{label(d)} on {n}" for d, n in run if n < fewest.total)
        lacking = lacking and f"; there are results of {lacking}"
        found.append(
            f"ranks stand on as few as {len(fewest.datasets)} of {fewest.total} data sets, those "
            f"with a result of every defense{lacking}"
        )
    lost: Counter[str] = Counter()
    for cell in cells:
        lost |= Counter(dict(zip(cell.defenses, cell.unfinished, strict=True)))
    if lost:
        named = ", ".join(f"{label(d)} on {n} data sets" for d, n in sorted(lost.items()))
        found.append(f"a defense of which nothing finished ranks last there: {named}")
    return found
