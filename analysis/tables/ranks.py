"""Mean rank of every defense within a norm and a band of radii: the report's head in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import bands
from analysis.artifact import Block, Cell, Row, Table
from analysis.names import NORMS, label, math_label, norm_label, ordered
from analysis.records import Records
from analysis.summary import interval_text
from analysis.tables.cells import MISSING, places


def build(records: Records) -> pd.DataFrame:
    """Return `bands.ranking`."""
    return bands.ranking(records)


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per norm, defenses down and bands across; radius 0 is in each."""
    clean = frame[frame["attack_norm"] == bands.ANY]
    made = []
    for norm in NORMS:
        cells = pd.concat([clean, frame[frame["attack_norm"] == norm]])
        if len(cells) > len(clean) or (norm == NORMS[0] and len(clean) == len(frame)):
            made.append(_block(cells, norm))
    return tuple(made)


def _block(cells: pd.DataFrame, norm: str) -> Block:
    found = {(p["defense"], p["band"]): p for p in places(cells)}
    shown = [band.name for band in bands.BANDS if band.name in set(cells["band"])]
    rows = [
        Row(
            label(defense),
            math_label(defense),
            tuple(_cell(found.get((defense, band))) for band in shown),
        )
        for defense in ordered(set(cells["defense"]))
    ]
    return Block(norm_label(norm), ("mean rank", "mean rank"), tuple(shown), tuple(rows))


def _cell(place: Mapping[str, Any] | None) -> Cell:
    """Return a mean rank with its interval, bold if first; not distinguishable from it marked."""
    if place is None or pd.isna(place["mean_rank"]):
        return Cell(MISSING)
    first = place["place"] == 1
    ahead = bands.verdict(*(float("nan") if p is None else p for p in _ps(place))) == "ahead"
    text = f"{place['mean_rank']:.2f} {interval_text(place)}".rstrip()
    return Cell(text, bold=first, marked=first or not ahead)


def _ps(place: Mapping[str, Any]) -> tuple[float | None, float | None]:
    return place["friedman_p"], place["holm_p"]


_RULES = "; ".join(f"{band.name}: {band.rule}" for band in bands.BANDS)

TABLE = Table(
    name="ranks",
    title="Mean rank within a norm and a band of radii",
    caption="Mean dense rank across data sets (1 is best) with its 95% interval, by the mean "
    "accuracy over a band's grid radii, minimum over PGD and fast gradient. "
    f"{_RULES}. The first in bold; marked are those that it is not ahead of: Wilcoxon's "
    "signed-rank test with Holm's correction over all pairs and Friedman's test, both below 0.05. "
    "Over the data sets on which every defense shown was run; a defense is last where none of its "
    "networks finished, and has a dash if it was run on less than half of the data sets.",
    build=build,
    layout=layout,
    experiment="uci_full",
)
