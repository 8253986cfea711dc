"""Tables 3 to 5 with each input scaling apart: selection never mixes `unit` and `standardized`."""

from __future__ import annotations

import pandas as pd

from analysis.artifact import Block, Table
from analysis.names import NORMS, VISION, dataset_title, ordered
from analysis.records import Records
from analysis.tables.cells import accuracy_block, percent_cell
from analysis.tables.robust import robust_accuracy


def build(records: Records) -> pd.DataFrame:
    """Return minimum accuracy over PGD and fast gradient per image set, scaling and radius."""
    return robust_accuracy(records, records.image_datasets(), ["scaling"])


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per data set, scaling and norm."""
    blocks = []
    for (dataset, scaling), cells in frame.groupby(["dataset", "scaling"], sort=False):
        for norm in NORMS:
            rows = cells[cells["attack_norm"] == norm]
            if not rows.empty:
                title = f"{dataset_title(str(dataset))}, {scaling}"
                defenses = ordered(set(rows["defense"]))
                blocks.append(accuracy_block(rows, title, norm, defenses, percent_cell))
    return tuple(blocks)


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
