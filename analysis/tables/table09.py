"""Table 9: certified accuracy on cifar10 under L1 perturbations."""

from __future__ import annotations

from analysis.tables.certified import paper_table

TABLE = paper_table(9, "cifar10")
