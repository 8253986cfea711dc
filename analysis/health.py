"""Health flags of trials: how many carry one, what it means and which conclusions suffer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from analysis.answer import pairs, row_label
from analysis.bands import BANDS
from analysis.names import label
from analysis.records import Records
from sweep.results.schema import FLAGS

_ATTACKS = "accuracies under attack, which an attacker may lower further; certificates stand"
_ALL = "every accuracy of these networks, and ranks that they are first in"
SUFFERS = {
    "constant-prediction": _ALL,
    "no-gradient": _ATTACKS,
    "not-decreasing": _ATTACKS,
    "weaker-than-fgm": _ATTACKS,
    "gradient-masking": f"L1 {_ATTACKS}",
    "certificate-refuted": "certified accuracies, which leave room for all rounding: report it",
}
MOSTLY = 0.5  # share of the best defense's networks with a flag from which a conclusion suffers


@dataclass(frozen=True)
class Health:
    """How many of some trials carry a flag.

    Attributes:
        flagged: trials with at least one.
        total: all trials.
        flags: trials per flag; one trial may carry several.
    """

    flagged: int
    total: int
    flags: dict[str, int]


def health(records: Records) -> Health:
    """Count the flags of all trials."""
    carried = [text.split() for text in records.trials["flags"]]
    counts = Counter(flag for flags in carried for flag in set(flags))
    return Health(sum(map(bool, carried)), len(carried), dict(sorted(counts.items())))


def line(state: Health) -> str:
    """Return the counts in one line; nothing where no trial is flagged."""
    if not state.flagged:
        return ""
    named = ", ".join(f"{flag} {n}" for flag, n in state.flags.items())
    return (
        f"{state.flagged} of {state.total} trials carry a health flag ({named}): what they mean "
        "and which conclusions suffer is in report.html"
    )


def explained(state: Health) -> list[tuple[str, int, str, str]]:
    """Return flag, number of trials, meaning, and what suffers."""
    return [
        (flag, n, FLAGS.get(flag, "unknown"), SUFFERS.get(flag, "unknown"))
        for flag, n in state.flags.items()
    ]


def suffering(frame: pd.DataFrame) -> list[str]:
    """Return the conclusions whose best defense is mostly flagged networks.

    Args:
        frame: as `answer.rankings` returns it for `BANDS`.
    """
    known = {band.name: band for band in BANDS}
    return [
        f"{row_label(norm, known[band])}: {label(best['defense'])} is first with "
        f"{best['flagged']:.0f} of {best['chosen']:.0f} networks flagged"
        for (measure, norm, band), (best, _) in pairs(frame).items()
        if measure == "attacked" and (best["flagged"] or 0) > MOSTLY * (best["chosen"] or 0)
    ]
