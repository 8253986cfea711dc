"""Which defenses differ: Nemenyi's test and Holm-corrected Wilcoxon tests for every pair."""

from __future__ import annotations

import pandas as pd

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label
from analysis.posthoc import holm, nemenyi, pairs, wilcoxon
from analysis.ranks import RankTest, rank_tests
from analysis.records import Records
from analysis.tables.cells import MISSING, Place, places, thin
from analysis.tables.friedman import p_cell

MARK = "‡"  # of Nemenyi's p among Holm's


def build(records: Records) -> pd.DataFrame:
    """Return mean ranks and p values of every pair of defenses, per PGD attack and radius."""
    cells = [cell for cell in rank_tests(records) if cell.place["attack"].startswith("pgd-")]
    return pd.DataFrame([row for cell in cells for row in _rows(cell)])


def _rows(cell: RankTest) -> list[dict[str, object]]:
    ranks = cell.friedman.mean_ranks
    apart, signed = nemenyi(ranks, len(cell.datasets)), wilcoxon(cell.ordinal)
    adjusted = holm(signed)
    return [
        {
            **cell.place,
            "first": cell.defenses[a],
            "second": cell.defenses[b],
            "mean_rank_first": ranks[a],
            "mean_rank_second": ranks[b],
            "nemenyi_p": apart[i],
            "wilcoxon_p": signed[i],
            "holm_p": adjusted[i],
            "datasets": len(cell.datasets),
        }
        for i, (a, b) in enumerate(pairs(len(cell.defenses)))
    ]


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print p per pair and radius, one block per attack: Holm's, or for lack of it Nemenyi's."""
    known = bool(frame["holm_p"].notna().any())
    test = "Wilcoxon, Holm" if known else "Nemenyi"
    blocks = []
    for attack, cells in frame.groupby("attack", sort=False):
        radii = thin(sorted(set(cells["attack_grid_radius"])))
        values = {(p["first"], p["second"], p["attack_grid_radius"]): p for p in places(cells)}
        rows = []
        for a, b in dict.fromkeys(zip(cells["first"], cells["second"], strict=True)):
            shown = tuple(_cell(values.get((a, b, r)), MARK if known else "") for r in radii)
            rows.append(
                Row(f"{label(a)} – {label(b)}", f"{math_label(a)} -- {math_label(b)}", shown)
            )
        heads = tuple(f"{radius:g}" for radius in radii)
        corner = ("p at grid radius", "$p$ at grid radius")
        blocks.append(Block(f"{label(str(attack))} ({test})", corner, heads, tuple(rows)))
    return tuple(blocks)


def _cell(place: Place | None, mark: str) -> Cell:
    """Return Holm's p, or for lack of it Nemenyi's with a mark."""
    if place is None:
        return Cell(MISSING)
    if place["holm_p"] is not None:
        return p_cell(place["holm_p"])
    cell = p_cell(place["nemenyi_p"])
    return Cell(cell.text + mark, bold=cell.bold)


TABLE = Table(
    name="posthoc",
    title="Which defenses differ? Pairwise tests",
    caption="Holm-corrected p of Wilcoxon's signed-rank test for every pair of defenses across "
    "the data sets on which every defense has a result, per attack and radius (bold below 0.05); "
    "Nemenyi's p where there are fewer than six (‡). Corrected for the pairs of a cell, not "
    "across cells. The CSV has both.",
    build=build,
    layout=layout,
    experiment="uci_full",
)
