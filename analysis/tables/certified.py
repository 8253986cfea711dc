"""What Tables 7 to 9 share: certified accuracy, selected by certified validation accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import polars as pl

from analysis import paper
from analysis.artifact import Table
from analysis.certificates import IS_CERTIFICATE, PAPER
from analysis.names import dataset_title
from analysis.paper import agreement
from analysis.records import Records
from analysis.select import selected
from analysis.tables import paper_form
from analysis.tables.cells import behind_cell, percent_cell, summarise


def certified_accuracy(records: Records, datasets: Sequence[str]) -> pd.DataFrame:
    """Return certified accuracy per data set, certificate, radius and defense.

    `attack` is the certificate: the paper's bound with t fixed, or any other that was recorded.
    """
    tested = selected(records, "mlp").filter(pl.col("dataset").is_in(datasets) & IS_CERTIFICATE)
    columns = ["attack", "attack_norm", "attack_grid_radius"]
    return summarise(tested, records, "mlp", columns)


def _compared(frame: pd.DataFrame, number: int) -> pd.DataFrame:
    both = paper.compared(frame, number)
    # The paper certifies with t fixed; its numbers are no peer of another proof's.
    other = both["attack"] != PAPER
    return both.assign(
        paper_percent=both["paper_percent"].mask(other),
        difference=both["difference"].mask(other),
        beyond=both["beyond"] & ~other,
    )


def paper_table(number: int, dataset: str) -> Table:
    """Return the paper's Table 7, 8 or 9: one data set, certified with t fixed."""
    title = dataset_title(dataset)

    def papers(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["attack"] == PAPER]

    return Table(
        name=f"table{number}",
        title=f"Table {number}: certified accuracy, {title}",
        caption=f"Lower bound (%) of adversarial accuracy on {title} with perturbations bounded "
        f"in L1, selected by the same bound on validation data. {paper_form.CAPTION}",
        build=lambda records: _compared(
            certified_accuracy(records, records.image_datasets(dataset)), number
        ),
        layout=lambda frame: paper_form.ours(papers(frame), number, title, percent_cell),
        compare=lambda frame: paper_form.theirs(papers(frame), number, title),
        behind=lambda frame: paper_form.ours(papers(frame), number, title, behind_cell),
        agree=agreement.accuracies,
        experiment="vision_full",
        datasets=(dataset,),
        paper=True,
    )
