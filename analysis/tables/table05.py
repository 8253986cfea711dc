"""Table 5: adversarial accuracy on cifar10, minimum over PGD and fast gradient."""

from __future__ import annotations

from analysis.tables.robust import paper_table

TABLE = paper_table(5, "cifar10")
