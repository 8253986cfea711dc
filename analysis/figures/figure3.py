"""Figure 3: improvement of RUB over PGD-Linf under PGD-L2 attacks."""

from __future__ import annotations

from analysis.figures.improvement import paper_figure

FIGURE = paper_figure(3, "rub", "pgd-linf", "pgd-l2", (0.01, 1.0, 10.0))
