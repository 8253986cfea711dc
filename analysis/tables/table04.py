"""Table 4: adversarial accuracy on mnist, minimum over PGD and fast gradient."""

from __future__ import annotations

from analysis.tables.robust import paper_table

TABLE = paper_table(4, "mnist")
