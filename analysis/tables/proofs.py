"""Certified accuracy by every proof recorded, of every data set, norm and defense."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from analysis.artifact import Block, Table
from analysis.certificates import proof_title
from analysis.names import dataset_title
from analysis.records import Records
from analysis.tables.cells import CellOf, accuracy_block, behind_cell, grouped, percent_cell
from analysis.tables.certified import certified_accuracy


def build(records: Records) -> pd.DataFrame:
    """Return certified accuracy per data set, certificate, radius and defense."""
    return certified_accuracy(records, records.datasets)


def layout(frame: pd.DataFrame, cell: CellOf = percent_cell) -> tuple[Block, ...]:
    """Print one block per data set and certificate."""
    made = []
    for (dataset, name, norm), cells in grouped(frame, "dataset", "attack", "attack_norm").items():
        block = accuracy_block(cells, "", norm, cell)
        title = f"{dataset_title(dataset)}, certified {proof_title(name, norm)}"
        made.append(replace(block, title=title))
    return tuple(made)


TABLE = Table(
    name="proofs",
    title="Certified accuracy by every proof",
    caption="Share (%) of test samples that no perturbation of the norm and radius can make "
    "misclassified, by every certificate that was recorded, each selected by itself on validation "
    "data. Heads are grid radii ρ; the ball's radius is ρ√D for L1 and L2 and ρ for L∞. Best of "
    "each column in bold, cells within 0.5 points of it marked.",
    build=build,
    layout=layout,
    behind=lambda frame: layout(frame, behind_cell),
    experiment="uci_full",
)
