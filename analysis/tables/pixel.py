"""Tables 3 to 5 with radii in pixel units, the same ball for every input scaling.

Standardised images are divided by their standard deviation s, so a ball of radius r around one is
a ball of radius r s in pixels (0 to 1). s differs from image to image; its mean over the training
images converts. Accuracy falls with the radius, so a network measured on its own grid of radii
counts at a pixel radius with its accuracy at the next measured radius that is not smaller: never
with more than it has.
"""

from __future__ import annotations

from itertools import product

import pandas as pd
import polars as pl

from analysis.artifact import Block, Table
from analysis.names import NORMS, VISION, dataset_title
from analysis.pixels import pixel_scales
from analysis.records import REPETITION, Records
from analysis.select import selected
from analysis.tables.cells import accuracy_block, grouped, percent_cell, summarise
from analysis.weakest import ATTACKS


def build(records: Records) -> pd.DataFrame:
    """Return minimum accuracy over PGD and fast gradient per image set and pixel radius.

    `measured_radius` is the pixel radius at which the chosen network was really attacked.
    Data sets whose pixel scale is unknown are left out; `unscaled` names them.
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
            pl.col("accuracy", "num_samples", "trial", "measured_radius").first(),
            pl.col("tied", "tied_low", "tied_high").first(),
            pl.col("pixel_radius").first().alias("attack_radius"),
            pl.col("candidates").max(),
        )
    )
    frame = summarise(weakest, records, "mlp", ["attack_norm", "attack_grid_radius"])
    measured = weakest.group_by(group).agg(pl.col("measured_radius").max()).to_pandas()
    return frame.merge(measured, on=group)


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per data set and norm."""
    cells = grouped(frame, "dataset", "attack_norm")
    return tuple(
        accuracy_block(
            cells[dataset, norm], f"{dataset_title(dataset)}, pixel units", norm, percent_cell
        )
        for dataset, norm in product(dict.fromkeys(frame["dataset"]), NORMS)
        if (dataset, norm) in cells
    )


TABLE = Table(
    name="pixel",
    title="Tables 3 to 5 with radii in pixel units",
    caption="Adversarial accuracy (%), minimum over PGD and fast gradient, with radii in units of "
    "pixels from 0 to 1 (on average over images for standardised inputs), so that both scalings "
    "face balls of the same size. Networks count with their accuracy at the next measured radius "
    "that is not smaller. Data sets whose images' mean deviation is unknown are left out.",
    build=build,
    layout=layout,
    experiment="vision_full",
    datasets=VISION,
)
