"""What Tables 10 to 12 share: convolutional networks under PGD-L2."""

from __future__ import annotations

from collections.abc import Sequence

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
    paper_cell,
    percent_cell,
    places,
    summarise,
)


def convolutional_accuracy(records: Records, datasets: Sequence[str]) -> pd.DataFrame:
    """Return adversarial accuracy of the `cnn` networks per radius and defense."""
    tested = selected(records, "cnn").filter(
        pl.col("dataset").is_in(datasets) & (pl.col("attack") == "pgd-l2")
    )
    return summarise(tested, records, "cnn", ["attack", "attack_norm", "attack_grid_radius"])


def _blocks(
    frame: pd.DataFrame, defenses: Sequence[str], cell: CellOf = percent_cell
) -> tuple[Block, ...]:
    title = dataset_title(str(frame["dataset"].iloc[0]))
    return (accuracy_block(places(frame), title, "l2", cell, defenses),)


def paper_table(number: int, dataset: str) -> Table:
    """Return the paper's Table 10, 11 or 12: one data set."""
    defenses = tuple(dict.fromkeys(paper.accuracies(number)["defense"]))
    title = dataset_title(dataset)
    return Table(
        name=f"table{number}",
        title=f"Table {number}: convolutional networks, {title}",
        caption=f"Adversarial accuracy (%) on {title} with the convolutional network under "
        "PGD-L2 attacks. Best in bold, cells within 0.5 points of it marked.",
        build=lambda records: paper.compared(
            convolutional_accuracy(records, records.image_datasets(dataset)), number
        ),
        layout=lambda frame: _blocks(frame, defenses),
        compare=lambda frame: _blocks(frame, defenses, paper_cell),
        behind=lambda frame: _blocks(frame, defenses, behind_cell),
        experiment="cnn_full",
        datasets=(dataset,),
        paper=True,
    )
