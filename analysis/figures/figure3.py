"""Figure 3: improvement of RUB over PGD-Linf under PGD-L2 attacks."""

from __future__ import annotations

from analysis.figures.improvement import paper_figure
from analysis.paper import claims

FIGURE = paper_figure(3, "rub", "pgd-linf", "pgd-l2", (0.01, 1.0, 10.0), claims.rub_over_pgd)
