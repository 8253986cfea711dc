"""Strong attacks (AutoAttack, by sweep/strong.py) beside what else is known of the same networks.

They are run on the networks that validation accuracy under PGD picks, the first of those that
tie, so the choice is made here once more, as for every table, and what every attack left of that
one network is looked up.
"""

from __future__ import annotations

import polars as pl

from analysis.certificates import IS_CERTIFICATE
from analysis.commands import STRONG, commands, quoted
from analysis.records import IS_WEIGHTED, REPETITION, Records
from analysis.select import selected

PREFIX = "autoattack-"
PICKING = "pgd-"
ARM = ("dataset", "family", "defense", "attack_norm", "attack_grid_radius")
CERTAIN = 3.0  # standard deviations of sampling noise beyond which a difference counts


def attacked(records: Records) -> pl.DataFrame:
    """Return the picked networks at the radii of strong attacks; no such attack, no rows.

    Returns:
        Rows `ARM, seed, split_seed, trial, attack_radius`, then accuracies of that one network,
        null where not measured: `pgd`, `fgm` (one step), `vertex`, `certified` (the better
        certificate), `strong`; `num_samples, strong_samples`; and `noise`, the standard deviation
        of a difference with `strong`, 0 where both saw the same samples.
    """
    return records.once("strong", lambda: _attacked(records))


def _attacked(records: Records) -> pl.DataFrame:
    measured = _measured(records)
    strong = measured.filter(pl.col("attack").str.starts_with(PREFIX))
    picks = pl.concat([selected(records, family) for family in ("mlp", "cnn")]).filter(
        pl.col("attack").str.starts_with(PICKING)
        & (pl.col("attack") == PICKING + pl.col("attack_norm"))
        & pl.col("attack_grid_radius").is_in(strong["attack_grid_radius"].unique().to_list())
    )
    place = ["trial", "attack_norm", "attack_grid_radius"]
    table = picks.select(*ARM, *REPETITION, "trial", "attack_radius", "num_samples")
    one_step = pl.col("attack").str.starts_with("fgm-") | pl.col("attack").str.starts_with("fgsm-")
    others = {
        "pgd": (pl.col("attack") == PICKING + pl.col("attack_norm"), pl.col("accuracy").min()),
        "fgm": (one_step, pl.col("accuracy").min()),
        "vertex": (pl.col("attack").str.starts_with("vertex-"), pl.col("accuracy").min()),
        "certified": (IS_CERTIFICATE, pl.col("accuracy").max()),
    }
    for name, (wanted, value) in others.items():
        found = measured.filter(wanted).group_by(place).agg(value.alias(name))
        table = table.join(found, on=place, how="left")
    found = strong.select(*place, strong="accuracy", strong_samples="num_samples")
    n, m = pl.col("strong_samples"), pl.col("num_samples")
    p = (pl.col("strong") * n + 1) / (n + 2)  # not quite 0 or 1, which would know no noise
    noise = pl.when(n == m).then(0.0).otherwise((p * (1 - p) * (1 / n + 1 / m)).sqrt())
    return table.join(found.unique(place), on=place, how="left").with_columns(noise=noise)


def _measured(records: Records) -> pl.DataFrame:
    cells = records.cells
    wanted = cells.filter(
        pl.col("attack_grid_radius").is_in(
            cells.filter(pl.col("attack").str.starts_with(PREFIX))["attack_grid_radius"]
            .unique()
            .to_list()
        )
    )
    return records.test.join(wanted.filter(~IS_WEIGHTED), on="cell").drop_nulls("accuracy")


def note(records: Records) -> list[str]:
    """Say, if so, how many picked networks were not attacked yet, and what would do it."""
    table = attacked(records)
    missing = table.filter(pl.col("strong").is_null()).height
    if not missing:
        return []
    known = records.provenance
    return [
        f"{missing} of {table.height} picked networks have no result under AutoAttack yet; "
        f"run {quoted(commands(known.name, known.manifests, STRONG))}"
    ]
