"""The answer that stands first: the best defense per norm and radii, how far ahead, how sure.

By what an attack leaves, and by what certificates prove: every measure of `bands.MEASURES` that
the records have, beside one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis import bands
from analysis.artifact import Block, Cell, Row
from analysis.bands import MEASURES
from analysis.names import label, norm_label
from analysis.posthoc import FEWEST
from analysis.records import Records
from analysis.render import tex
from analysis.tables.cells import MISSING, Place, places

HEADS = ("best", "points over second [95%]", "the tests say (n)", "flagged")


def rankings(records: Records, limits: tuple[bands.Band, ...]) -> pd.DataFrame:
    """Return `bands.ranking` of every measure that the records have, named by `measure`."""
    parts = [
        bands.ranking(records, name, limits).assign(measure=name)
        for name in bands.measures(records)
    ]
    return pd.concat([part for part in parts if not part.empty] or parts[:1], ignore_index=True)


def pairs(frame: pd.DataFrame) -> dict[tuple[str, str, str], tuple[Place, Place]]:
    """Return measure, norm and band -> the rows of the best defense and of the second."""
    first, second = (
        {(p["measure"], p["attack_norm"], p["band"]): p for p in places(frame[frame.place == n])}
        for n in (1, 2)
    )
    return {key: (best, second[key]) for key, best in first.items() if key in second}


def blocks(
    frame: pd.DataFrame, title: str, keys: Sequence[tuple[str, str, str]]
) -> tuple[Block, ...]:
    """Return one block per measure: norms and bands down, what is said of them across.

    Args:
        frame: as `rankings` returns it.
        title: of what the blocks are, before the measure's own title.
        keys: norm, band and label of each row; those that a measure lacks are left out.
    """
    found, made = pairs(frame), []
    for measure in dict.fromkeys(frame["measure"]):
        rows = [
            Row(name, tex(name), _cells(*found[measure, norm, band]))
            for norm, band, name in keys
            if (measure, norm, band) in found
        ]
        heading = ": ".join(filter(None, [title, MEASURES[measure].title]))
        made.append(Block(heading, ("ρ", r"$\rho$"), HEADS, tuple(rows)))
    return tuple(block for block in made if block.rows)


def said(best: Place, second: Place) -> str:
    """Say whether the best is ahead of the second."""
    friedman, holm = (float("nan") if p is None else float(p)
                      for p in (best["friedman_p"], second["holm_p"]))  # fmt: skip
    return bands.verdict(friedman, holm)


def _cells(best: Place, second: Place) -> tuple[Cell, ...]:
    verdict = said(best, second)
    texts = (
        label(best["defense"]),
        f"{margin_text(second)} over {label(second['defense'])}",
        f"{verdict} ({best['datasets']:.0f})",
        f"{best['flagged'] or 0:.0f} of {best['chosen'] or 0:.0f}",
    )
    return tuple(
        Cell(text, bold=verdict == bands.AHEAD and i == 0) for i, text in enumerate(texts)
    )


def margin_text(second: Place) -> str:
    """Return by how many percent points the best is ahead of the second, with its interval."""
    if second["margin"] is None or pd.isna(second["margin"]):
        return MISSING
    text = f"{second['margin']:+z.1f}"
    if second["margin_low"] is None or pd.isna(second["margin_low"]):
        return text
    return f"{text} [{second['margin_low']:+z.1f}, {second['margin_high']:+z.1f}]"


def sentence(frame: pd.DataFrame) -> str:
    """Return what the table comes to, as one sentence."""
    clauses = {
        measure: _clause(frame[frame["measure"] == measure])
        for measure in dict.fromkeys(frame["measure"])
    }
    known = {MEASURES[m].title: clause for m, clause in clauses.items() if clause}
    whole = "; ".join(f"{title.lower()}, {clause}" for title, clause in known.items())
    whole = whole[:1].upper() + whole[1:]
    return f"{whole}." if whole else "No two defenses can be compared."


def _clause(frame: pd.DataFrame) -> str:
    """Return who is ahead where, and where nobody is."""
    kinds: dict[str, dict[str, list[str]]] = {}
    for (_, norm, band), (best, second) in pairs(frame).items():
        where = band if norm == bands.ANY else f"{norm_label(norm)} {band}"
        winners = kinds.setdefault(said(best, second), {})
        winners.setdefault(label(best["defense"]), []).append(where)
    ahead, close = kinds.pop(bands.AHEAD, {}), kinds.pop(bands.CLOSE, {})
    texts = []
    if ahead:
        texts.append(f"ahead of the second beyond chance: {_listed(ahead)}")
    if close and not ahead:
        texts.append("no defense is distinguishable from the second")
    elif close:
        texts.append(f"nobody is at {', '.join(w for where in close.values() for w in where)}")
    for winners in kinds.values():
        texts.append(
            f"first by mean rank are {_listed(winners)}, on too few data sets for any test "
            f"({FEWEST} are needed)"
        )
    return "; ".join(texts)


def _listed(winners: dict[str, list[str]]) -> str:
    return ", ".join(f"{name} ({', '.join(where)})" for name, where in winners.items())


def row_label(norm: str, band: bands.Band) -> str:
    """Return the label of a row of bands: norm, band and its limits."""
    rule = band.rule.replace("radius", "ρ").replace("<=", "≤").replace("ρ 0", "ρ = 0")
    return f"{'' if norm == bands.ANY else norm_label(norm)} {band.name} ({rule})".strip()
