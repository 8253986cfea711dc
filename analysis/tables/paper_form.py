"""The paper's accuracy tables in the paper's own form: its rows, its columns, its heads.

Ours stand beside them; defenses and radii that the paper does not have are in tables of our own.
Heads are radii r of the ball, as the paper prints them: r = ρ√D for L1 and L2 on dense networks.
"""

from __future__ import annotations

import pandas as pd

from analysis import paper
from analysis.artifact import Block, Cell
from analysis.names import NORMS, ordered
from analysis.tables.cells import MISSING, CellOf, Place, corner, places, row_of

CAPTION = (
    "Best of each column in bold, cells within 0.5 points of it marked. Radii r are the ball's, "
    "as the paper prints them. Shaded: ours is away from the paper's by more than sampling noise "
    "(95%; the paper's are of 2,560 samples)."
)


def ours(frame: pd.DataFrame, number: int, title: str, cell: CellOf) -> tuple[Block, ...]:
    """Return our values in the paper's form: those of its rows and columns that were run."""
    return _blocks(frame, number, title, cell, whole=False)


def theirs(frame: pd.DataFrame, number: int, title: str) -> tuple[Block, ...]:
    """Return the paper's table whole, with ours minus it in brackets where we have a value."""
    printed = paper.accuracies(number).rename(columns={"percent": "paper_percent"})
    keys = ["attack_norm", "radius_printed", "defense"]
    known = frame.dropna(subset=["radius_printed", "paper_percent"])
    both = printed[[*keys, "paper_percent"]].merge(
        known[[*keys, "difference", "beyond"]], on=keys, how="left"
    )
    return _blocks(both, number, title, _their_cell, whole=True)


def _blocks(
    frame: pd.DataFrame, number: int, title: str, cell: CellOf, whole: bool
) -> tuple[Block, ...]:
    printed = paper.printed_radii(number)
    rows = ordered(set(paper.accuracies(number)["defense"]))
    found = {
        (p["attack_norm"], p["radius_printed"], p["defense"]): p
        for p in places(frame)
        if p["radius_printed"] is not None
    }
    run = {(norm, head) for norm, head, defense in found if defense in rows}
    made = []
    for norm in NORMS:
        heads = [head for n, head in printed if n == norm and (whole or (n, head) in run)]
        shown = [d for d in rows if whole or any((norm, head, d) in found for head in heads)]
        if heads:
            made.append(
                Block(
                    title,
                    corner(norm, "r", "r"),
                    tuple(paper.head_text(number, norm, head) for head in heads),
                    tuple(
                        row_of(d, [found.get((norm, head, d)) for head in heads], cell)
                        for d in shown
                    ),
                )
            )
    return tuple(made)


def _their_cell(place: Place) -> Cell:
    """Return a cell with the paper's percentage and ours minus it, shaded beyond noise."""
    if place["paper_percent"] is None:
        return Cell(MISSING)
    text = f"{place['paper_percent']:.2f}"
    if place["difference"] is None or pd.isna(place["difference"]):
        return Cell(text)
    return Cell(f"{text} ({place['difference']:+z.1f})", beyond=bool(place["beyond"]))
