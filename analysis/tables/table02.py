"""Table 2: training batches per second on the tabular data sets."""

from __future__ import annotations

import pandas as pd

from analysis.artifact import Table
from analysis.records import Records
from analysis.tables.throughput import batches_per_second, layout


def build(records: Records) -> pd.DataFrame:
    """Return batches per second per defense, single and packed."""
    return batches_per_second(records, records.tabular_datasets)


TABLE = Table(
    name="table2",
    title="Table 2: batches per second, tabular data",
    caption="Training batches per second, mean and standard deviation across the tabular data "
    "sets: one network alone, and networks times steps per second in packs.",
    build=build,
    layout=layout,
    paper=True,
)
