"""Table 10: adversarial accuracy of convolutional networks on cifar10 under PGD-L2."""

from __future__ import annotations

from analysis.tables.convolutional import paper_table

TABLE = paper_table(10, "cifar10")
