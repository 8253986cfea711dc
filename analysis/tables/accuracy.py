"""Robust accuracy of every data set, in the form of the paper's Table 3."""

from __future__ import annotations

import pandas as pd

from analysis.artifact import Table
from analysis.records import Records
from analysis.tables.cells import behind_cell
from analysis.tables.robust import blocks, robust_accuracy


def build(records: Records) -> pd.DataFrame:
    """Return minimum accuracy over PGD and fast gradient per data set, norm, radius, defense.

    The three image sets have Tables 3 to 5 of their own.
    """
    return robust_accuracy(records, records.tabular_datasets)


TABLE = Table(
    name="accuracy",
    title="Adversarial accuracy, every tabular data set",
    caption="Adversarial accuracy (%): minimum over PGD and fast gradient attacks. Best of each "
    "column in bold, cells within 0.5 points of it marked.",
    build=build,
    layout=blocks,
    behind=lambda frame: blocks(frame, cell=behind_cell),
    experiment="uci_full",
)
