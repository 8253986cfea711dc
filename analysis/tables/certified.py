"""What Tables 7 to 9 share: certified accuracy, selected by certified validation accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pandas as pd
import polars as pl

from analysis import paper
from analysis.artifact import Block, Table
from analysis.names import dataset_title
from analysis.records import Records
from analysis.select import selected
from analysis.tables.cells import (
    CellOf,
    accuracy_block,
    behind_cell,
    grouped,
    paper_cell,
    percent_cell,
    summarise,
)
from sweep.results.schema import CERTIFIED, CERTIFIED_TIGHT

BOUNDS = {CERTIFIED: "", CERTIFIED_TIGHT: " (t optimised)"}


def certified_accuracy(records: Records, datasets: Sequence[str]) -> pd.DataFrame:
    """Return certified accuracy per data set, bound, radius and defense.

    `attack` is the bound: with t fixed as in the paper, or optimised per example.
    """
    tested = selected(records, "mlp").filter(
        pl.col("dataset").is_in(datasets) & pl.col("attack").is_in(list(BOUNDS))
    )
    columns = ["attack", "attack_norm", "attack_grid_radius"]
    return summarise(tested, records, "mlp", columns)


def blocks(
    frame: pd.DataFrame,
    defenses: Sequence[str] = (),
    cell: CellOf = percent_cell,
    bounds: Sequence[str] = tuple(BOUNDS),
) -> tuple[Block, ...]:
    """Return one block per data set and bound that occur."""
    cells = grouped(frame, "dataset", "attack")
    return tuple(
        accuracy_block(
            cells[dataset, bound], dataset_title(dataset) + BOUNDS[bound], "l1", cell, defenses
        )
        for dataset, bound in product(dict.fromkeys(frame["dataset"]), bounds)
        if (dataset, bound) in cells
    )


def _compared(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    both = paper.compared(frame, number)
    # The paper certifies with t fixed; its numbers are no peer of the tighter bound's.
    tight = both["attack"] == CERTIFIED_TIGHT
    return both.assign(
        paper_percent=both["paper_percent"].mask(tight),
        difference=both["difference"].mask(tight),
    )


def paper_table(number: int, dataset: str) -> Table:
    """Return the paper's Table 7, 8 or 9: one data set, with t fixed and with t optimised."""
    defenses = tuple(dict.fromkeys(paper.accuracies(number)["defense"]))
    title = dataset_title(dataset)
    return Table(
        name=f"table{number}",
        title=f"Table {number}: certified accuracy, {title}",
        caption=f"Lower bound (%) of adversarial accuracy on {title} with perturbations bounded "
        "in L1, selected by the same bound on validation data. Best in bold, cells within 0.5 "
        "points of it marked.",
        build=lambda records: _compared(
            certified_accuracy(records, records.image_datasets(dataset)), number
        ),
        layout=lambda frame: blocks(frame, defenses),
        compare=lambda frame: blocks(frame, defenses, paper_cell, (CERTIFIED,)),
        behind=lambda frame: blocks(frame, defenses, behind_cell),
        experiment="vision_full",
        datasets=(dataset,),
        paper=True,
    )
