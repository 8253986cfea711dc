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

HEADS = ("best", "mean %", "points over second [95%]", "the tests say", "flagged")
BEHIND = "‡"  # marks a best defense whose mean accuracy is below the second's
BEHIND_NOTE = (
    f"{BEHIND} First by mean rank, and yet behind the second on average: where it loses, it loses "
    "more points than it wins elsewhere."
)


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

    The title has the number of data sets; where it differs each row has its own.
    """
    found, made = pairs(frame), []
    for measure in dict.fromkeys(frame["measure"]):
        known = {name: found[measure, n, b] for n, b, name in keys if (measure, n, b) in found}
        counts = {best["datasets"] for best, _ in known.values()}
        rows = [Row(name, tex(name), _cells(*p, len(counts) > 1)) for name, p in known.items()]
        heading = ": ".join(filter(None, [title, MEASURES[measure].title]))
        if len(counts) == 1:
            heading += f" ({counts.pop():.0f} data sets)"
        made.append(Block(heading, ("ρ", r"$\rho$"), HEADS, tuple(rows)))
    return tuple(block for block in made if block.rows)


def said(best: Place, second: Place) -> str:
    """Say whether the best is ahead of the second."""
    friedman, holm = (float("nan") if p is None else float(p)
                      for p in (best["friedman_p"], second["holm_p"]))  # fmt: skip
    return bands.verdict(friedman, holm)


def _cells(best: Place, second: Place, counted: bool) -> tuple[Cell, ...]:
    verdict = said(best, second)
    n = f" ({best['datasets']:.0f})" if counted else ""
    texts = (
        _winner(best, second),
        MISSING if pd.isna(best["mean_accuracy"]) else f"{100 * best['mean_accuracy']:.1f}",
        MISSING if best["equal"] else _lead(second),
        f"{'equal' if best['equal'] else verdict}{n}",
        f"{best['flagged'] or 0:.0f} of {best['chosen'] or 0:.0f}",
    )
    return tuple(
        Cell(text, bold=verdict == bands.AHEAD and i == 0) for i, text in enumerate(texts)
    )


def _winner(best: Place, second: Place) -> str:
    """Return the best defense's label, and who equals it on every data set."""
    if not best["equal"]:
        return label(best["defense"])
    if best["equal"] == best["ranked"] - 1:
        return f"all {best['ranked']:.0f} equal"
    if best["equal"] == 1:
        return f"{label(best['defense'])} = {label(second['defense'])}"
    return f"{label(best['defense'])} and {best['equal']:.0f} equal"


def _lead(second: Place) -> str:
    mark = f" {BEHIND}" if is_behind(second) else ""
    return f"{margin_text(second)} over {label(second['defense'])}{mark}"


def is_behind(second: Place) -> bool:
    """Return whether the second has the higher mean accuracy, as far as digits are printed.

    The best is first by its mean rank, and may lose more points where it loses than it wins
    where it wins.
    """
    margin = second["margin"]
    return margin is not None and not pd.isna(margin) and round(float(margin), 1) < 0


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
    """Return who is ahead where, where nobody is and who is first there, and where all tie."""
    kinds: dict[str, dict[str, list[tuple[str, str]]]] = {}
    ties: list[tuple[str, str]] = []
    for (_, norm, band), (best, second) in pairs(frame).items():
        if best["equal"]:
            ties.append((norm, band))
        else:
            winners = kinds.setdefault(said(best, second), {})
            winners.setdefault(label(best["defense"]), []).append((norm, band))
    texts = []
    if ahead := kinds.pop(bands.AHEAD, {}):
        texts.append(f"ahead of the second beyond chance: {_listed(ahead)}")
    if close := kinds.pop(bands.CLOSE, {}):
        none = "" if ahead else "no defense is distinguishable from the second; "
        but = ", but not distinguishable from the second" if ahead else ""
        texts.append(f"{none}first by mean rank{but}: {_listed(close)}")
    for winners in kinds.values():
        texts.append(
            f"first by mean rank are {_listed(winners)}, on too few data sets for any test "
            f"({FEWEST} are needed)"
        )
    if ties:
        texts.append(f"the best are equal at {_where(ties)}")
    return "; ".join(texts)


def _listed(winners: dict[str, list[tuple[str, str]]]) -> str:
    return ", ".join(f"{name} ({_where(found)})" for name, found in winners.items())


def _where(found: Sequence[tuple[str, str]]) -> str:
    """Return norms and bands in words, the bands of a norm together."""
    by_norm: dict[str, list[str]] = {}
    for norm, band in found:
        by_norm.setdefault(norm, []).append(band)
    return ", ".join(
        f"{'' if norm == bands.ANY else norm_label(norm)} {' and '.join(named)}".strip()
        for norm, named in by_norm.items()
    )


def row_label(norm: str, band: bands.Band) -> str:
    """Return the label of a row of bands: norm, band and its limits."""
    rule = band.rule.replace("radius", "ρ").replace("<=", "≤").replace("ρ 0", "ρ = 0")
    return f"{'' if norm == bands.ANY else norm_label(norm)} {band.name} ({rule})".strip()
