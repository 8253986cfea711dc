"""Where the truth lies: attacked (upper) and certified (lower) accuracy of the same networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import pandas as pd
import polars as pl
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.autoattack import PREFIX
from analysis.certificates import IS_CERTIFICATE, strongest
from analysis.figures.panels import (
    Curve,
    Panel,
    across,
    in_rows,
    page_count,
    panel_pages,
    panel_titles,
)
from analysis.names import NORMS, norm_symbol, ordered
from analysis.records import IS_WEIGHTED, REPETITION, Records
from analysis.select import paired

SIDES = {"attacked": "attacked", "certified": "certified"}  # from the top
PLACE = ("dataset", "attack_norm", "attack_grid_radius")


def build(records: Records) -> pd.DataFrame:
    """Return per data set, norm, radius and defense the two bounds of one and the same network.

    The network is the one chosen by certified validation accuracy at that radius, under the best
    certificate recorded in that norm; where several tie, the means over them. `certified` is the
    highest certified test accuracy, `attacked` the lowest test accuracy any attack of that norm
    left it; the truth lies between. Means over the repetitions that the defenses share.
    """
    chosen = (
        strongest(records, records.datasets)
        .select(*PLACE, "defense", *REPETITION, trial="ties")
        .explode("trial")
    )
    mine = records.test.join(chosen.select("trial").unique(), on="trial").join(
        records.cells, on="cell"
    )
    # AutoAttack sees a subsample, whose accuracy is no bound on that of all samples.
    plain = ~pl.col("attack").str.starts_with(PREFIX) & ~IS_WEIGHTED
    known = mine.filter(plain).drop_nulls("accuracy")
    place = ["trial", "attack_norm", "attack_grid_radius"]
    proven, attacked = (known.filter(wanted == IS_CERTIFICATE).group_by(place)
                        for wanted in (True, False))  # fmt: skip
    both = chosen.join(
        proven.agg(pl.col("attack_radius").first(), pl.col("accuracy").max().alias("certified")),
        on=place,
    ).join(attacked.agg(pl.col("accuracy").min().alias("attacked")), on=place)
    return (
        paired(both, PLACE)
        .group_by(*PLACE, "defense", *REPETITION)
        .agg(pl.col("attack_radius").first(), pl.col("certified", "attacked").mean())
        .group_by(*PLACE, "defense")
        .agg(
            pl.col("attack_radius").first(),
            pl.col("certified", "attacked").mean().round(12),
            pl.len().alias("repetitions"),
        )
        .sort("attack_norm", "dataset", "defense", "attack_grid_radius")
        .to_pandas()
    )


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the means over the data sets on which every defense has both bounds at a radius."""
    size = frame.groupby(["attack_norm", "dataset", "attack_grid_radius"])["defense"]
    whole = frame[size.transform("nunique") == frame["defense"].nunique()]
    keys = ["attack_norm", "defense", "attack_grid_radius"]
    made = whole.groupby(keys, as_index=False).agg(
        certified=("certified", "mean"), attacked=("attacked", "mean"), sets=("dataset", "nunique")
    )
    most = made.groupby("attack_norm")["sets"].transform("max")
    return made[made["sets"] == most]


def draw(frame: pd.DataFrame) -> Sequence[Canvas]:
    """Draw per norm the mean and every data set: attacked above, certified below, in pages."""
    return panel_pages(_rows(frame), set(frame["attack_grid_radius"]), together=len(SIDES))


def page_number(frame: pd.DataFrame) -> int:
    """Return how many pages `draw` makes."""
    groups = [_groups(frame[frame["attack_norm"] == norm]) for norm in NORMS]
    rows = sum(len(SIDES) * ceil(len(group) / across()) for group in groups)
    return page_count(rows, together=len(SIDES))


def _rows(frame: pd.DataFrame) -> list[list[Panel]]:
    """Return rows of panels, those of one chunk of data sets above one another."""
    rows = []
    for norm in NORMS:
        groups = _groups(frame[frame["attack_norm"] == norm])
        sides = [in_rows(_panels(groups, side, norm)) for side in SIDES]
        rows += [list(row) for chunk in zip(*sides, strict=True) for row in chunk]
    return rows


def _groups(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return what is drawn side by side: the mean where there are several data sets, and each."""
    names = list(dict.fromkeys(map(str, rows["dataset"])))
    each = [
        (title, rows[rows["dataset"] == name])
        for name, title in zip(names, panel_titles(names), strict=True)
    ]
    mean = means(rows)
    if len(names) < 2 or mean.empty:
        return each
    return [(f"mean of {mean['sets'].max()} data sets", mean), *each]


def _panels(groups: list[tuple[str, pd.DataFrame]], side: str, norm: str) -> list[Panel]:
    first = side == next(iter(SIDES))
    label = f"{SIDES[side]} ${norm_symbol(norm)}$, %"
    return [Panel(title if first else "", label, tuple(_curves(rows, side)))
            for title, rows in groups]  # fmt: skip


def _curves(rows: pd.DataFrame, side: str) -> Iterator[Curve]:
    for defense in ordered(set(rows["defense"])):
        mine = rows[rows["defense"] == defense].sort_values("attack_grid_radius")
        yield Curve(defense, list(mine["attack_grid_radius"]), list(100 * mine[side]))


FIGURE = Figure(
    name="bounds",
    title="Where the truth lies: attacked and certified accuracy",
    caption="For the network chosen by certified validation accuracy at each grid radius ρ: "
    "above, the lowest test accuracy that any attack of the norm left it; below, its highest "
    "certified test accuracy. The true robust accuracy lies between. The ball's radius is ρ√D for "
    "L1 and L2 and ρ for L∞.",
    build=build,
    draw=draw,
    pages=page_number,
    narrow=True,
    first=True,
)
