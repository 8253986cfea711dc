"""What Tables 3 to 5 and their kin share: the minimum over PGD and fast gradient, per norm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pandas as pd

from analysis import paper
from analysis.artifact import Block, Table
from analysis.names import NORMS, dataset_title
from analysis.paper import agreement
from analysis.records import Records
from analysis.tables import paper_form
from analysis.tables.cells import (
    CellOf,
    accuracy_block,
    behind_cell,
    grouped,
    percent_cell,
    summarise,
)
from analysis.weakest import PLACE, weakest


def robust_accuracy(
    records: Records, datasets: Sequence[str], keys: Sequence[str] = ()
) -> pd.DataFrame:
    """Return per data set, norm, radius and defense the minimum over the norm's two attacks.

    As `weakest` has it, averaged over repetitions; the settings shown are those of the trial of
    the weaker accuracy. `attacks` says which were run.
    """
    rows = weakest(records, datasets, keys)
    return summarise(rows, records, "mlp", [*keys, *PLACE], ["attacks"])


def blocks(frame: pd.DataFrame, cell: CellOf = percent_cell) -> tuple[Block, ...]:
    """Return one block per data set and norm that occur, in print order."""
    cells = grouped(frame, "dataset", "attack_norm")
    return tuple(
        accuracy_block(cells[dataset, norm], dataset_title(dataset), norm, cell)
        for dataset, norm in product(dict.fromkeys(frame["dataset"]), NORMS)
        if (dataset, norm) in cells
    )


def paper_table(number: int, dataset: str) -> Table:
    """Return the paper's Table 3, 4 or 5: one data set, three norms."""
    title = dataset_title(dataset)

    def build(records: Records) -> pd.DataFrame:
        return paper.compared(robust_accuracy(records, records.image_datasets(dataset)), number)

    return Table(
        name=f"table{number}",
        title=f"Table {number}: adversarial accuracy, {title}",
        caption=f"Adversarial accuracy (%) on {title}: minimum over PGD and fast gradient "
        f"attacks. {paper_form.CAPTION}",
        build=build,
        layout=lambda frame: paper_form.ours(frame, number, title, percent_cell),
        compare=lambda frame: paper_form.theirs(frame, number, title),
        behind=lambda frame: paper_form.ours(frame, number, title, behind_cell),
        agree=agreement.accuracies,
        experiment="vision_full",
        datasets=(dataset,),
        paper=True,
    )
