"""Table 6: training batches per second on the image data sets."""

from __future__ import annotations

from analysis.names import VISION
from analysis.tables.throughput import paper_table

TABLE = paper_table(6, "vision", lambda name: name in VISION)
