"""Friedman's test of the defenses' ranks, per attack and radius."""

from __future__ import annotations

from math import nan

import numpy as np
import pandas as pd

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label
from analysis.posthoc import Friedman, critical_difference, friedman
from analysis.ranks import Comparison, attacked_accuracies, comparisons
from analysis.records import Records
from analysis.tables.cells import MISSING, Place, places, thin

NOTHING = Friedman(nan, nan, np.empty(0), nan, nan)
MARK = "‡"  # of a p by Skillings and Mack


def build(records: Records) -> pd.DataFrame:
    """Return the tests of every attack and radius that allow one, with Nemenyi's difference.

    `statistic, p` are Friedman's chi-squared and `iman_davenport, iman_davenport_p` the F that
    corrects it, over the `datasets` data sets on which every defense was run; `skillings_mack,
    skillings_mack_p` are over the `datasets_compared` on which two defenses at least were run,
    and missing where the two are the same. A defense without a finished network ranks last.
    """
    accuracies = attacked_accuracies(records, records.tabular_datasets)
    return pd.DataFrame([row for cell in comparisons(accuracies) for row in _rows(cell)])


def _rows(cell: Comparison) -> list[dict[str, object]]:
    """Return the row of a cell, none where nothing can be tested."""
    scored = (~np.isnan(cell.partial)).sum(axis=1)
    holed = bool(((scored > 1) & (scored < len(cell.defenses))).any())
    common, wider = friedman(cell.ordinal), friedman(cell.partial) if holed else None
    if common is None and wider is None:
        return []
    common, wider = common or NOTHING, wider or NOTHING
    k, n = len(cell.defenses), len(cell.datasets)
    return [
        {
            **cell.place,
            "defenses": int((~np.isnan(cell.partial)).any(axis=0).sum()),
            "datasets": n,
            "statistic": common.statistic,
            "p": common.p,
            "iman_davenport": common.corrected,
            "iman_davenport_p": common.corrected_p,
            "critical_difference": critical_difference(k, n) if n else nan,
            "datasets_compared": int((scored > 1).sum()),
            "skillings_mack": wider.statistic,
            "skillings_mack_p": wider.p,
        }
    ]


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print p, attacks down and radii across; below 0.05 in bold."""
    radii = thin(sorted(set(frame["attack_grid_radius"])))
    values = {(p["attack"], p["attack_grid_radius"]): p for p in places(frame)}
    rows = tuple(
        Row(label(a), math_label(a), tuple(_cell(values.get((a, r))) for r in radii))
        for a in dict.fromkeys(frame["attack"])
    )
    heads = tuple(f"{radius:g}" for radius in radii)
    return (Block("", ("p at grid radius", "$p$ at grid radius"), heads, rows),)


def _cell(place: Place | None) -> Cell:
    """Return the p of all results: of Skillings and Mack's test where some are missing."""
    if place is None:
        return Cell(MISSING)
    if place["skillings_mack_p"] is None or pd.isna(place["skillings_mack_p"]):
        return p_cell(place["iman_davenport_p"])
    cell = p_cell(place["skillings_mack_p"])
    return Cell(cell.text + MARK, bold=cell.bold)


def p_cell(p: float | None) -> Cell:
    """Return a p value's cell, bold below 0.05."""
    if p is None or pd.isna(p):
        return Cell(MISSING)
    return Cell("<0.001" if p < 0.001 else f"{p:.3f}", bold=p < 0.05)


TABLE = Table(
    name="friedman",
    title="Do the defenses differ? Friedman's test",
    caption="p of Friedman's test that all defenses rank alike across the tabular data sets, by "
    "Iman and Davenport's F (bold below 0.05); last is where none of a defense's networks "
    "finished. ‡: a defense was not run on some data sets, p of Skillings and Mack's test on all "
    "there are. Not corrected across cells.",
    build=build,
    layout=layout,
    experiment="uci_full",
)
