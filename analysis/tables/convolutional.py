"""What Tables 10 to 12 share: convolutional networks under PGD-L2."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import polars as pl

from analysis import paper
from analysis.artifact import Table
from analysis.names import dataset_title
from analysis.paper import agreement
from analysis.records import Records
from analysis.select import selected
from analysis.tables import paper_form
from analysis.tables.cells import behind_cell, percent_cell, summarise


def convolutional_accuracy(records: Records, datasets: Sequence[str]) -> pd.DataFrame:
    """Return adversarial accuracy of the `cnn` networks per radius and defense."""
    tested = selected(records, "cnn").filter(
        pl.col("dataset").is_in(datasets) & (pl.col("attack") == "pgd-l2")
    )
    return summarise(tested, records, "cnn", ["attack", "attack_norm", "attack_grid_radius"])


def paper_table(number: int, dataset: str) -> Table:
    """Return the paper's Table 10, 11 or 12: one data set."""
    title = dataset_title(dataset)
    return Table(
        name=f"table{number}",
        title=f"Table {number}: convolutional networks, {title}",
        caption=f"Adversarial accuracy (%) on {title} with the convolutional network under "
        f"PGD-L2 attacks. {paper_form.CAPTION}",
        build=lambda records: paper.compared(
            convolutional_accuracy(records, records.image_datasets(dataset)), number
        ),
        layout=lambda frame: paper_form.ours(frame, number, title, percent_cell),
        compare=lambda frame: paper_form.theirs(frame, number, title),
        behind=lambda frame: paper_form.ours(frame, number, title, behind_cell),
        agree=agreement.accuracies,
        experiment="cnn_full",
        datasets=(dataset,),
        paper=True,
    )
