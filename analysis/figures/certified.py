"""The certified-radius curve: what share of the test set is certified up to each radius."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil

import pandas as pd
import polars as pl
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.figures.panels import Curve, across, dataset_panels, page_count
from analysis.names import ordered
from analysis.records import REPETITION, Records
from analysis.select import choose, paired
from sweep.results.schema import CERTIFIED


def build(records: Records) -> pd.DataFrame:
    """Return certified test accuracy per data set, defense and radius, of one network each.

    Unlike Tables 7 to 9 one network serves all radii: the one with the highest mean certified
    validation accuracy over them (the mean of those that tie). Means over the repetitions that
    the defenses share.
    """
    cells = records.cells.filter(pl.col("attack") == CERTIFIED)
    radii = cells.select("cell", "attack_grid_radius")
    arm = ["dataset", "defense", *REPETITION]
    complete = records.trials.filter(
        (pl.col("status") == "complete") & (pl.col("family") == "mlp")
    )
    means = (
        records.validation.join(radii, on="cell")
        .drop_nulls("accuracy")
        .group_by("trial")
        .agg(pl.col("accuracy").mean().round(12).alias("mean"), pl.len().alias("radii"))
        .join(complete.select("trial", *arm), on="trial")
    )
    # A trial with fewer radii than its rivals is not comparable.
    comparable = means.filter(pl.col("radii") == pl.col("radii").max().over(arm))
    one = comparable.select("trial", pl.lit(0).alias("cell"), pl.col("mean").alias("accuracy"))
    chosen = choose(one, complete, arm).select(*arm, pl.col("ties").alias("trial"))
    place = ["dataset", "attack_grid_radius"]
    certified = (
        records.test.join(radii, on="cell")
        .drop_nulls("accuracy")
        .join(chosen.explode("trial"), on="trial")
        .group_by(*place, "defense", *REPETITION)
        .agg(pl.col("attack_radius").first(), pl.col("accuracy").mean())
    )
    return (
        paired(certified, place)
        .group_by("dataset", "defense", "attack_grid_radius")
        .agg(
            pl.col("attack_radius").first(),
            pl.col("accuracy").mean().round(12).alias("certified"),
            pl.len().alias("repetitions"),
        )
        .sort("dataset", "defense", "attack_grid_radius")
        .to_pandas()
    )


def draw(frame: pd.DataFrame) -> Sequence[Canvas]:
    """Draw one panel per data set, in pages."""
    return dataset_panels(frame, _curves, "certified, %")


def _curves(rows: pd.DataFrame) -> Iterator[Curve]:
    for defense in ordered(set(rows["defense"])):
        mine = rows[rows["defense"] == defense]
        yield Curve(defense, list(mine["attack_grid_radius"]), list(100 * mine["certified"]))


FIGURE = Figure(
    name="certified",
    title="Certified-radius curves",
    caption="Share of the test set certified at each L1 radius, for one network per defense: the "
    "one with the highest mean certified validation accuracy over the radii. The ball's "
    "radius is ρ√D.",
    build=build,
    draw=draw,
    pages=lambda frame: page_count(ceil(frame["dataset"].nunique() / across())),
)
