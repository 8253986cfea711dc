"""Table 8: certified accuracy on mnist under L1 perturbations."""

from __future__ import annotations

from analysis.tables.certified import paper_table

TABLE = paper_table(8, "mnist")
