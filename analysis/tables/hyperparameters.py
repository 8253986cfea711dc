"""Which hyperparameters validation chose, for every data set, defense, attack and radius."""

from __future__ import annotations

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, order_key
from analysis.records import CELL, REPETITION, Records
from analysis.select import selected
from analysis.tables.cells import SETTINGS

SHOWN = {
    "grid_radius": "training radius ρ",
    "learning_rate": "learning rate",
    "batch_size": "batch size",
    "scaling": "scaling",
    "network": "network",
}


def build(records: Records) -> pd.DataFrame:
    """Return the settings, validation and test accuracy of every choice.

    Of `tied` trials with the same validation accuracy the settings and the id are the first's,
    the test accuracy is the mean.
    """
    settings = records.trials.select("trial", "trial_id", *SETTINGS)
    keys = ["dataset", "family", "defense", *REPETITION, *CELL]
    chosen = pl.concat([selected(records, "mlp"), selected(records, "cnn")])
    return (
        chosen.join(settings, on="trial")
        .select(
            *keys, *SETTINGS, "validation_accuracy", "accuracy", "candidates", "tied", "trial_id"
        )
        .sort(keys)
        .to_pandas()
    )


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print, per defense, the three settings chosen most often and their shares."""
    rows = []
    for defense in sorted(set(frame["defense"]), key=order_key):
        cells = frame[frame["defense"] == defense]
        text = [_commonest(cells[name]) for name in SHOWN]
        rows.append(Row(label(defense), math_label(defense), tuple(map(Cell, text))))
    return (Block("", ("defense", "defense"), tuple(SHOWN.values()), tuple(rows)),)


def _commonest(values: pd.Series) -> str:
    shares = values.value_counts(normalize=True).head(3)
    return ", ".join(f"{_plain(value)} ({100 * share:.0f}%)" for value, share in shares.items())


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


TABLE = Table(
    name="hyperparameters",
    title="Hyperparameters chosen",
    caption="The settings that validation chose most often, over data sets, attacks and radii, "
    "with their shares; of trials that tie, the first. The CSV lists every choice.",
    build=build,
    layout=layout,
)
