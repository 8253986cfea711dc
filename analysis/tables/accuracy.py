"""Robust accuracy of every data set, in the form of the paper's Table 3."""

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

    Any other attack follows with its own accuracy, named by `attacks`. The three image sets have
    Tables 3 to 5 of their own.
    """
    minima = robust_accuracy(records, records.tabular_datasets)
    others = _other_attacks(records)
    return minima if others.empty else pd.concat([minima, others], ignore_index=True)


def _other_attacks(records: Records) -> pd.DataFrame:
    """Return accuracy under the attacks that no minimum is over, such as one of the user's."""
    tested = selected(records).filter(
        pl.col("dataset").is_in(records.tabular_datasets)
        & ~pl.col("attack").is_in(ATTACKS)
        & ~IS_CERTIFICATE
    )
    frame = summarise(tested, records, "mlp", ["attack", *PLACE])
    return frame.rename(columns={"attack": "attacks"})


def layout(frame: pd.DataFrame, cell: CellOf = percent_cell) -> tuple[Block, ...]:
    """Print the minima of every data set and norm, then those of each other attack."""
    minimum = frame["attacks"].map(lambda names: set(names.split("+")) <= {*ATTACKS})
    made = list(blocks(frame[minimum], cell=cell))
    for attack, cells in frame[~minimum].groupby("attacks"):
        for block in blocks(cells, cell=cell):
            made.append(replace(block, title=f"{block.title}, {label(str(attack))}"))
    return tuple(made)


TABLE = Table(
    name="accuracy",
    title="Adversarial accuracy, every tabular data set",
    caption="Adversarial accuracy (%): minimum over PGD and fast gradient attacks, then under "
    "every other attack that was run. Best of each "
    "column in bold, cells within 0.5 points of it marked.",
    build=build,
    layout=layout,
    behind=lambda frame: layout(frame, behind_cell),
    experiment="uci_full",
)
