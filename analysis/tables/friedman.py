"""Friedman's test of the defenses' ranks, per attack and radius."""

from __future__ import annotations

import pandas as pd

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label
from analysis.posthoc import critical_difference
from analysis.ranks import rank_tests
from analysis.records import Records
from analysis.tables.cells import MISSING, places, thin


def build(records: Records) -> pd.DataFrame:
    """Return Friedman's statistic and p per attack and radius, with Nemenyi's difference."""
    rows = [
        {
            **cell.place,
            "defenses": len(cell.defenses),
            "datasets": len(cell.datasets),
            "statistic": cell.friedman.statistic,
            "p": cell.friedman.p,
            "critical_difference": critical_difference(len(cell.defenses), len(cell.datasets)),
        }
        for cell in rank_tests(records)
    ]
    return pd.DataFrame(rows)


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print p, attacks down and radii across; below 0.05 in bold."""
    radii = thin(sorted(set(frame["attack_grid_radius"])))
    values = {(p["attack"], p["attack_grid_radius"]): p["p"] for p in places(frame)}
    rows = tuple(
        Row(label(a), math_label(a), tuple(p_cell(values.get((a, r))) for r in radii))
        for a in dict.fromkeys(frame["attack"])
    )
    heads = tuple(f"{radius:g}" for radius in radii)
    return (Block("", ("p at grid radius", "$p$ at grid radius"), heads, rows),)


def p_cell(p: float | None) -> Cell:
    """Return a p value's cell, bold below 0.05."""
    if p is None or pd.isna(p):
        return Cell(MISSING)
    return Cell("<0.001" if p < 0.001 else f"{p:.3f}", bold=p < 0.05)


TABLE = Table(
    name="friedman",
    title="Do the defenses differ? Friedman's test",
    caption="p of Friedman's test that all defenses rank alike across the tabular data sets on "
    "which every defense was run, last where none of its networks finished (bold below 0.05). Not "
    "corrected across cells.",
    build=build,
    layout=layout,
    experiment="uci_full",
)
