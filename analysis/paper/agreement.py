"""How near ours is to the paper: winners, differences and rank correlations of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.artifact import Agreement
from analysis.statistics import Array, average_ranks

COLUMN = ["attack_norm", "radius_printed"]
FEWEST = 3  # defenses, below which ranks of a column say nothing


def accuracies(frame: pd.DataFrame) -> Agreement:
    """Return the agreement of an accuracy table, from the columns of `paper.compared`.

    Winners are the best of the defenses that both have; ours agrees if it is one of the paper's.
    """
    both = frame.dropna(subset=["paper_percent", "percent"])
    columns = [cells for _, cells in both.groupby(COLUMN) if len(cells) > 1]
    agreed = sum(bool(_best(c, "percent") & _best(c, "paper_percent")) for c in columns)
    pairs = [c[["percent", "paper_percent"]].to_numpy(np.float64).T for c in columns]
    return Agreement(
        winners=f"{agreed} of {len(columns)}",
        difference=_points(both["difference"]),
        correlation=mean_correlation([(a, b) for a, b in pairs if len(a) >= FEWEST]),
        beyond=f"{int(both['beyond'].sum())} of {len(both)}",
    )


def _best(cells: pd.DataFrame, column: str) -> set[str]:
    return set(cells[cells[column] == cells[column].max()]["defense"])


def _points(differences: pd.Series) -> str:
    return "" if differences.empty else f"{differences.abs().mean():.1f} points"


def mean_correlation(pairs: list[tuple[Array, Array]]) -> str:
    """Return the mean of Spearman's rank correlations; nothing where none is defined."""
    known = [r for r in (spearman(a, b) for a, b in pairs) if not np.isnan(r)]
    return f"{np.mean(known):.2f}" if known else ""


def spearman(first: Array, second: Array) -> float:
    """Return the correlation of average ranks; NaN where all values of one are equal."""
    a, b = (ranks - ranks.mean() for ranks in (average_ranks(first), average_ranks(second)))
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 0 else float("nan")


def rates(frame: pd.DataFrame) -> Agreement:
    """Return the agreement of Table 1."""
    both = frame.dropna(subset=["paper_percent", "percent_upper_bound"])
    columns = ["percent_upper_bound", "paper_percent"]
    pairs = [group[columns].to_numpy(np.float64).T for _, group in both.groupby("norm")]
    return Agreement(
        difference=_points(both["difference"]),
        correlation=mean_correlation([(a, b) for a, b in pairs if len(a) >= FEWEST]),
        remark="rank correlation along the radii, mean over norms",
    )


def speeds(frame: pd.DataFrame, rate: str) -> Agreement:
    """Return the agreement of Table 2 or 6: the order of defenses, and the hardware of ours."""
    single = frame[frame["packing"] == "single"]
    single = single if not single.empty else frame[frame["pack_size"] == frame["pack_size"].max()]
    both = single.dropna(subset=["paper_mean", rate])
    if both.empty:
        return Agreement(remark="no defense in common")
    ours, theirs = (both[name].to_numpy(np.float64) for name in (rate, "paper_mean"))
    fastest = (
        both["defense"].iloc[int(ours.argmax())] == both["defense"].iloc[int(theirs.argmax())]
    )
    times = float(np.exp(np.log(ours / theirs).mean()))
    devices = ", ".join(sorted(set("; ".join(both["devices"]).split("; ")) - {""}))
    return Agreement(
        winners=f"{int(fastest)} of 1",
        difference=f"{times:.2g} times as fast",
        correlation=mean_correlation([(ours, theirs)] if len(ours) >= FEWEST else []),
        remark=f"ours on {devices or 'hardware not recorded'}; the paper names none",
    )
