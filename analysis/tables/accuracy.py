"""Robust accuracy of every data set, in the form of the paper's Table 3."""

from __future__ import annotations

import pandas as pd

from analysis.artifact import Table
from analysis.records import Records
from analysis.tables.robust import layout, robust_accuracy


def build(records: Records) -> pd.DataFrame:
    """Return minimum accuracy over PGD and fast gradient per data set, norm, radius, defense."""
    return robust_accuracy(records, records.datasets)


TABLE = Table(
    name="accuracy",
    title="Adversarial accuracy, every data set",
    caption="Adversarial accuracy (%): minimum over PGD and fast gradient attacks. Best of each "
    "column in bold, cells within 0.5 points of it marked.",
    build=build,
    layout=layout,
)
