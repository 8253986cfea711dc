"""The convergence check of section 6.1: does some learning rate settle in every cell?

A network that says the same class to everything settles at once, at chance. It has not converged
to anything: such trials are counted apart.
"""

from __future__ import annotations

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, order_key
from analysis.records import Records

CELL = ("dataset", "network", "defense", "grid_radius", "batch_size", "scaling", "seed")
LAST = 0.2  # share of the training whose measurements are compared
SPREAD = 0.02  # accuracy; measurements of a settled trial lie within it
ERRORS = 2.0  # standard errors of chance that count as chance
FAR = 10.0  # grid radius from which no attack is survived but by a network that never wavers
SAME_CLASS, NO_GRADIENT = "constant-prediction", "no-gradient"  # flags


def build(records: Records) -> pd.DataFrame:
    """Return per cell how many learning rates converged; a cell is all of `CELL`.

    A trial has settled if its validation accuracies in the last fifth of training, the last two
    measurements at least, all exist and lie within two points of one another. It is at chance
    if it settled no higher than what may be the luck of `chance` (see `chance_levels`), and
    converged if it settled higher. Trials measured less than twice say nothing and are left
    out. `converged`: whether any rate of the cell did; `at_chance`: whether none did and some
    rate settled at chance.
    """
    measured = records.curves.filter(pl.col("quantity") == "validation_accuracy")
    step = pl.col("step")
    since = pl.min_horizontal((1 - LAST) * step.max(), step.top_k(2).min())
    late = pl.col("value").filter(step >= since).fill_nan(None)
    settled = (late.null_count() == 0) & (late.max() - late.min() <= SPREAD + 1e-9)
    above = pl.col("level") > pl.col("luck") + 1e-9
    return (
        measured.group_by("trial_id", *CELL)
        .agg(
            settled=settled,
            level=late.mean(),
            measurements=pl.len(),
            learning_rate=pl.col("learning_rate").first(),
        )
        .filter(pl.col("measurements") >= 2)
        .join(chance_levels(records).lazy(), on="dataset", how="left")
        .with_columns(above=above.fill_null(True))  # where chance is unknown
        .group_by(CELL)
        .agg(
            pl.col("chance", "luck").first(),
            pl.len().alias("learning_rates"),
            (pl.col("settled") & pl.col("above")).sum().alias("learning_rates_converged"),
            (pl.col("settled") & ~pl.col("above")).sum().alias("learning_rates_at_chance"),
        )
        .with_columns(converged=pl.col("learning_rates_converged") > 0)
        .with_columns(at_chance=~pl.col("converged") & (pl.col("learning_rates_at_chance") > 0))
        .sort(CELL)
        .collect()
        .to_pandas()
    )


def chance_levels(records: Records) -> pl.DataFrame:
    """Return per data set what a network reaches that tells no example from another.

    Returns:
        Rows `dataset, chance, luck`. `chance` is one over the number of classes or, where it is
        higher, the clean validation accuracy of a trial that says one class to everything (the
        share of the largest class, once some trial says that one). `luck` is the accuracy that
        must be exceeded: two standard errors (at least two points) above the one, whose samples
        vary, or two points above the other, if higher. Null where nothing is known.
    """
    classes = records.trials.group_by("dataset").agg(
        pl.col("num_classes").filter(pl.col("num_classes") > 0).max().alias("classes")
    )
    of_trials = _validated(records)
    samples = of_trials.group_by("dataset").agg(pl.col("num_samples").max())
    constant = (
        of_trials.join(_constant_trials(records), on="trial", how="semi")
        .group_by("dataset")
        .agg(pl.col("clean").max().alias("one_class"))
    )
    guess = 1 / pl.col("classes")
    error = (guess * (1 - guess) / pl.col("num_samples")).sqrt()
    lucky = guess + pl.max_horizontal(pl.lit(SPREAD), ERRORS * error)
    return (
        classes.join(samples, on="dataset", how="left")
        .join(constant, on="dataset", how="left")
        .select(
            "dataset",
            chance=pl.max_horizontal(guess, "one_class"),
            luck=pl.max_horizontal(lucky, pl.col("one_class") + SPREAD),
        )
    )


def _validated(records: Records) -> pl.DataFrame:
    """Return every trial's `clean` validation accuracy, without attack, and its samples."""
    cells = records.cells.filter(pl.col("attack_grid_radius") == 0)["cell"].to_list()
    return (
        records.validation.group_by("trial")
        .agg(
            pl.col("accuracy").filter(pl.col("cell").is_in(cells)).max().alias("clean"),
            pl.col("num_samples").max(),
        )
        .join(records.trials.select("trial", "dataset"), on="trial")
    )


def _constant_trials(records: Records) -> pl.DataFrame:
    """Return the trials that say one class to everything.

    They are flagged, or keep their clean accuracy under PGD as far as `FAR` and beyond although
    it has a gradient to follow.
    """
    flag = pl.col("flags").str.split(" ")
    flagged = records.trials.filter(flag.list.contains(SAME_CLASS)).select("trial")
    blind = records.trials.filter(flag.list.contains(NO_GRADIENT)).select("trial")
    radius, accuracy = pl.col("attack_grid_radius"), pl.col("accuracy")
    pgd = records.cells.filter(pl.col("attack").str.starts_with("pgd-")).select(
        "cell", "attack_grid_radius"
    )
    unmoved = (
        records.validation.join(pgd, on="cell")
        .group_by("trial")
        .agg(
            (accuracy.min() == accuracy.filter(radius == 0).max()).alias("unmoved"),
            (radius.max() >= FAR).alias("far"),
        )
        .filter("unmoved", "far")
        .select("trial")
        .join(blind, on="trial", how="anti")
    )
    return pl.concat([flagged, unmoved]).unique()


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print counts per defense and the data sets of the cells without a converged rate."""
    heads = (
        *("cells", "none converged", "of these at chance", "rates converged, %"),
        *("rates at chance, %", "data sets concerned"),
    )
    rows = []
    for defense in sorted(set(frame["defense"]), key=order_key):
        cells = frame[frame["defense"] == defense]
        never = cells[~cells["converged"]]
        rates = cells["learning_rates"].sum()
        shares = [
            100 * cells[f"learning_rates_{name}"].sum() / rates
            for name in ("converged", "at_chance")
        ]
        counts = [len(cells), len(never), int(never["at_chance"].sum())]
        text = [*map(str, counts), *(f"{share:.0f}" for share in shares), _some(never["dataset"])]
        rows.append(Row(label(defense), math_label(defense), tuple(map(Cell, text))))
    return (Block("", ("defense", "defense"), heads, tuple(rows)),)


def _some(datasets: pd.Series) -> str:
    """Return the names of a few data sets and the number of the others."""
    names = sorted(set(datasets))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return shown or "none"


TABLE = Table(
    name="convergence",
    title="Cells in which no learning rate converged",
    caption="Cells of data set, network, defense, training radius, batch size, scaling and seed. "
    "A trial converged if its validation accuracies in the last fifth of training (at least the "
    "last two) lie within two points, above chance: over two standard errors (at least two "
    "points) above one over the number of classes, and over two points above any trial on the "
    "data set that says one class to everything. The CSV lists every cell.",
    build=build,
    layout=layout,
)
