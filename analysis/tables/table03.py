"""Table 3: adversarial accuracy on fashion-mnist, minimum over PGD and fast gradient."""

from __future__ import annotations

from analysis.tables.robust import paper_table

TABLE = paper_table(3, "fashion-mnist")
