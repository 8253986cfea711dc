"""Figure 4: improvement of aRUB-Linf over PGD-Linf under PGD-Linf attacks."""

from __future__ import annotations

from analysis.figures.improvement import paper_figure
from analysis.paper import claims

FIGURE = paper_figure(
    4, "arub-linf", "pgd-linf", "pgd-linf", (0.001, 0.1, 1.0), claims.arub_over_pgd
)
