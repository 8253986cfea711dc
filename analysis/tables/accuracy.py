"""Robust accuracy of every data set, norm, radius and defense, the user's own among them."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import polars as pl

from analysis.artifact import Block, Table
from analysis.certificates import IS_CERTIFICATE
from analysis.names import label
from analysis.records import Records
from analysis.select import selected
from analysis.tables.cells import CellOf, behind_cell, percent_cell, summarise
from analysis.tables.robust import blocks, robust_accuracy
from analysis.weakest import ATTACKS, PLACE


def build(records: Records) -> pd.DataFrame:
    """Return minimum accuracy over PGD and fast gradient per data set, norm, radius, defense.

    Any other attack follows with its own accuracy, named by `attacks`; then, each attack for
    itself, convolutional networks.
    """
    minima = robust_accuracy(records, records.datasets).assign(family="mlp")
    others = pl.concat([selected(records, family) for family in ("mlp", "cnn")]).filter(
        (~pl.col("attack").is_in(ATTACKS) | (pl.col("family") == "cnn")) & ~IS_CERTIFICATE
    )
    parts = [minima, *(_by_attack(others, records, family) for family in ("mlp", "cnn"))]
    return pd.concat([part for part in parts if not part.empty] or parts[:1], ignore_index=True)


def _by_attack(tested: pl.DataFrame, records: Records, family: str) -> pd.DataFrame:
    """Return accuracy under each attack, such as one of the user's."""
    mine = tested.filter(pl.col("family") == family)
    frame = summarise(mine, records, family, ["attack", *PLACE])
    return frame.rename(columns={"attack": "attacks"}).assign(family=family)


def layout(frame: pd.DataFrame, cell: CellOf = percent_cell) -> tuple[Block, ...]:
    """Print the minima of every data set and norm, then those of each other attack."""
    minimum = frame["attacks"].map(lambda names: set(names.split("+")) <= {*ATTACKS})
    minimum &= frame["family"] == "mlp"
    made = list(blocks(frame[minimum], cell=cell))
    for (family, attack), cells in frame[~minimum].groupby(["family", "attacks"], sort=False):
        kind = ", convolutional" if family == "cnn" else ""
        for block in blocks(cells, cell=cell):
            made.append(replace(block, title=f"{block.title}{kind}, {label(str(attack))}"))
    return tuple(made)


TABLE = Table(
    name="accuracy",
    title="Adversarial accuracy, every data set",
    caption="Adversarial accuracy (%): minimum over PGD and fast gradient attacks, then under "
    "every other attack that was run. Heads are grid radii ρ; the ball's radius is ρ√D for L1 and "
    "L2 and ρ for L∞, convolutional networks' as in the grid. Best of each column in bold, cells "
    "within 0.5 points of it marked.",
    build=build,
    layout=layout,
    behind=lambda frame: layout(frame, behind_cell),
    experiment="uci_full",
)
