"""Table 12: adversarial accuracy of convolutional networks on mnist under PGD-L2."""

from __future__ import annotations

from analysis.tables.convolutional import paper_table

TABLE = paper_table(12, "mnist")
