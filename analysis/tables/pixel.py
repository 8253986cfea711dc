"""Tables 3 to 5 with radii in pixel units, the same ball for every input scaling.

Standardised images are divided by their standard deviation s, so a ball of radius r around one is
a ball of radius r s in pixels (0 to 1). s differs from image to image; its mean over the training
images converts. Accuracy falls with the radius, so a network measured on its own grid of radii
counts at a pixel radius with its accuracy at the next measured radius that is not smaller: never
with more than it has. Grids of radii are coarse: the next may be three times as large. Balls
within `TOLERANCE` are called the same; where the measured one is larger, its radius stands beside
the accuracy, and nothing is called best in a column whose balls differ.
"""

from __future__ import annotations

from itertools import product

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Table
from analysis.names import NORMS, VISION, dataset_title
from analysis.pixels import pixel_scales
from analysis.records import REPETITION, Records
from analysis.select import selected
from analysis.tables.cells import (
    Place,
    accuracy_block,
    grouped,
    percent_cell,
    radius_text,
    summarise,
)
from analysis.weakest import ATTACKS

TOLERANCE = 0.05  # of a radius, within which two balls are the same


def build(records: Records) -> pd.DataFrame:
    """Return minimum accuracy over PGD and fast gradient per image set and pixel radius.

    `measured_radius` is the pixel radius at which the chosen network was really attacked,
    `same_ball` whether that is `attack_radius` within `TOLERANCE`. `best, near_best` are marked
    only where all of a column's balls are. Data sets whose pixel scale is unknown are left out;
    `unscaled` names them.
    """
    scales = pixel_scales(records)
    vision = records.image_datasets()
    datasets = [name for name in vision if name in scales]
    rows = selected(records, "mlp", ["scaling"], vision).filter(
        pl.col("dataset").is_in(datasets) & pl.col("attack").is_in(ATTACKS)
    )
    if rows.is_empty():
        return pd.DataFrame()
    factor = pl.col("dataset").replace_strict(scales, default=None, return_dtype=pl.Float64)
    standardized = pl.col("scaling") == "standardized"
    rows = rows.drop_nulls("accuracy").with_columns(
        measured_radius=pl.col("attack_radius") * pl.when(standardized).then(factor).otherwise(1.0)
    )
    return _summary(_at_common_radii(rows), records)


def _at_common_radii(rows: pl.DataFrame) -> pl.DataFrame:
    """Return, per radius of the `unit` grid, the scaling that validation prefers there."""
    targets = rows.select(
        "dataset", "attack", "attack_norm", "attack_grid_radius", pixel_radius="attack_radius"
    ).unique(["dataset", "attack", "attack_grid_radius"])
    arm = ["dataset", "defense", *REPETITION, "attack"]
    reached = (
        rows.drop("attack_grid_radius", "attack_norm")
        .join(targets, on=["dataset", "attack"])
        .filter(pl.col("measured_radius") >= pl.col("pixel_radius") * (1 - 1e-9))
        .sort("measured_radius")
        .group_by(*arm, "scaling", "attack_grid_radius", maintain_order=True)
        .first()
    )
    return (
        reached.sort(["validation_accuracy", "trial"], descending=[True, False])
        .group_by(*arm, "attack_grid_radius", maintain_order=True)
        .first()
    )


def _summary(rows: pl.DataFrame, records: Records) -> pd.DataFrame:
    group = ["dataset", "defense", "attack_norm", "attack_grid_radius"]
    weakest = (
        rows.sort("accuracy", "attack")
        .group_by(*group, *REPETITION, maintain_order=True)
        .agg(
            pl.col("accuracy", "num_samples", "trial").first(),
            pl.col("measured_radius").max(),
            pl.col("tied", "tied_low", "tied_high").first(),
            pl.col("pixel_radius").first().alias("attack_radius"),
            pl.col("candidates").max(),
        )
    )
    largest = weakest.with_columns(pl.col("measured_radius").max().over(group))
    columns = ["attack_norm", "attack_grid_radius"]
    return _with_balls(summarise(largest, records, "mlp", columns, ["measured_radius"]))


def _with_balls(frame: pd.DataFrame) -> pd.DataFrame:
    """Say which balls are of the size asked for, and unmark the columns where some are not."""
    same = frame["measured_radius"] <= frame["attack_radius"] * (1 + TOLERANCE)
    column = [frame[name] for name in ("dataset", "attack_norm", "attack_grid_radius")]
    alike = same.groupby(column).transform("all")
    return frame.assign(
        same_ball=same, best=frame["best"] & alike, near_best=frame["near_best"] & alike
    )


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per data set and norm."""
    cells = grouped(frame, "dataset", "attack_norm")
    return tuple(
        accuracy_block(
            cells[dataset, norm], f"{dataset_title(dataset)}, pixel units", norm, _cell, ball=True
        )
        for dataset, norm in product(dict.fromkeys(frame["dataset"]), NORMS)
        if (dataset, norm) in cells
    )


def _cell(place: Place) -> Cell:
    """Return a percentage, with the radius of its ball where that is larger than the column's."""
    cell = percent_cell(place)
    if place["same_ball"]:
        return cell
    return Cell(f"{cell.text} at {radius_text(place['measured_radius'])}")


TABLE = Table(
    name="pixel",
    title="Tables 3 to 5 with radii in pixel units",
    caption="Adversarial accuracy (%), minimum over PGD and fast gradient, with the radii r of "
    "balls in units of pixels from 0 to 1 (on average over images for standardised inputs). "
    "Networks count with their accuracy at the next measured radius that is not smaller; where it "
    f"is over {100 * TOLERANCE:g}% larger than the column's it is given (at ...), and nothing is "
    "called best in that column. Data sets whose images' mean deviation is unknown are left out.",
    build=build,
    layout=layout,
    experiment="vision_full",
    datasets=VISION,
)
