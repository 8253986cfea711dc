"""Tables 3 to 5 with each input scaling apart: selection never mixes `unit` and `standardized`."""

from __future__ import annotations

from itertools import product

import pandas as pd

from analysis.artifact import Block, Table
from analysis.names import NORMS, VISION, dataset_title
from analysis.records import Records
from analysis.tables.cells import accuracy_block, grouped, percent_cell
from analysis.tables.robust import robust_accuracy


def build(records: Records) -> pd.DataFrame:
    """Return minimum accuracy over PGD and fast gradient per image set, scaling and radius."""
    return robust_accuracy(records, records.image_datasets(), ["scaling"])


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per data set, scaling and norm."""
    cells = grouped(frame, "dataset", "scaling", "attack_norm")
    return tuple(
        accuracy_block(
            cells[*part, norm], f"{dataset_title(part[0])}, {part[1]}", norm, percent_cell
        )
        for part, norm in product(dict.fromkeys(key[:2] for key in cells), NORMS)
        if (*part, norm) in cells
    )


TABLE = Table(
    name="scaling",
    title="Tables 3 to 5 per input scaling",
    caption="Adversarial accuracy (%), minimum over PGD and fast gradient, with the networks of "
    "one input scaling alone. Radii are in units of the scaled inputs, so equal numbers mean "
    "different balls: see the table in pixel units.",
    build=build,
    layout=layout,
    experiment="vision_full",
    datasets=VISION,
)
