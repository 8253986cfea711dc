"""Table 2: training batches per second on the tabular data sets."""

from __future__ import annotations

from analysis.tables.throughput import paper_table

TABLE = paper_table(2, "tabular", lambda records: records.tabular_datasets)
