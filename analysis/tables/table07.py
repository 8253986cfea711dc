"""Table 7: certified accuracy on fashion-mnist under L1 perturbations."""

from __future__ import annotations

from analysis.tables.certified import paper_table

TABLE = paper_table(7, "fashion-mnist")
