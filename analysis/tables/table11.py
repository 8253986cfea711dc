"""Table 11: adversarial accuracy of convolutional networks on fashion-mnist under PGD-L2."""

from __future__ import annotations

from analysis.tables.convolutional import paper_table

TABLE = paper_table(11, "fashion-mnist")
