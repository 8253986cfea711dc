"""Table 6: training batches per second on the image data sets."""

from __future__ import annotations

from analysis.records import Records
from analysis.tables.throughput import paper_table

TABLE = paper_table(6, "vision", Records.image_datasets)
