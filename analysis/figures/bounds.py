"""Lower and upper bound on the truth: certified against attacked accuracy, per data set."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import polars as pl
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.autoattack import PREFIX
from analysis.figures.panels import Curve, dataset_panels
from analysis.names import ordered
from analysis.records import REPETITION, Records
from analysis.select import paired, selected
from sweep.results.schema import CERTIFIED, CERTIFIED_TIGHT

SHOWN = ("rub", "arub-l1", "pgd-linf", "nominal")  # more bands hide one another


def build(records: Records) -> pd.DataFrame:
    """Return per data set, defense and L1 radius the two bounds for one and the same network.

    The network is the one chosen by certified validation accuracy at that radius; where several
    tie, the means over them. `certified` is its certified test accuracy (the tighter certificate
    where both were computed), `attacked` the lowest test accuracy any L1 attack left it; the
    truth lies between. Means over the repetitions that the defenses share.
    """
    chosen = (
        selected(records)
        .filter(pl.col("attack") == CERTIFIED)
        .select("dataset", "defense", *REPETITION, "attack_grid_radius", trial="ties")
        .explode("trial")
    )
    place = ["trial", "attack_grid_radius"]
    mine = records.test.join(chosen.select("trial").unique(), on="trial").join(
        records.cells, on="cell"
    )
    # AutoAttack sees a subsample, whose accuracy is no bound on that of all samples.
    l1 = mine.filter(
        (pl.col("attack_norm") == "l1") & ~pl.col("attack").str.starts_with(PREFIX)
    ).drop_nulls("accuracy")
    certificates = [CERTIFIED, CERTIFIED_TIGHT]
    proven, attacked = (
        l1.filter(pl.col("attack").is_in(certificates) == wanted).group_by(place)
        for wanted in (True, False)
    )
    frame = chosen.join(
        proven.agg(pl.col("attack_radius").first(), pl.col("accuracy").max().alias("certified")),
        on=place,
    ).join(attacked.agg(pl.col("accuracy").min().alias("attacked")), on=place)
    both = frame.drop_nulls(["certified", "attacked"])
    frame = (
        paired(both, ["dataset", "attack_grid_radius"])
        .group_by("dataset", "defense", "attack_grid_radius", *REPETITION)
        .agg(pl.col("attack_radius").first(), pl.col("certified", "attacked").mean())
        .group_by("dataset", "defense", "attack_grid_radius")
        .agg(
            pl.col("attack_radius").first(),
            pl.col("certified", "attacked").mean().round(12),
            pl.len().alias("repetitions"),
        )
    )
    return frame.sort("dataset", "defense", "attack_grid_radius").to_pandas()


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw one panel per data set: a band per defense from certified to attacked accuracy."""
    return dataset_panels(frame, _bands, "accuracy, %")


def _bands(rows: pd.DataFrame) -> Iterator[Curve]:
    for defense in ordered(set(rows["defense"]) & set(SHOWN)):
        mine = rows[rows["defense"] == defense]
        low, high = (list(100 * mine[name]) for name in ("certified", "attacked"))
        yield Curve(defense, list(mine["attack_grid_radius"]), low, high)


FIGURE = Figure(
    name="bounds",
    title="Where the truth lies: certified and attacked accuracy",
    caption="For the network chosen by certified validation accuracy at each L1 radius: certified "
    "test accuracy (lower, thick line) and the lowest accuracy any L1 attack left it (upper, thin "
    "line). The true robust accuracy lies in the band.",
    build=build,
    draw=draw,
)
