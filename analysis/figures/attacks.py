"""Average rank under every attack that Figure 2 does not show, such as one of the user's own."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure as Canvas

from analysis.artifact import Figure
from analysis.autoattack import PREFIX
from analysis.figures.figure2 import PANELS, draw_rows
from analysis.ranks import attacked_accuracies, mean_ranks
from analysis.records import Records

_PAPERS = {attack for row in PANELS for attack, _ in row}
MOST = 8  # attacks of one page


def build(records: Records) -> pd.DataFrame:
    """Return mean rank and 95% interval per attack, grid radius and defense.

    AutoAttack is left out: it sees other samples, of chosen networks alone.
    """
    ranks = mean_ranks(attacked_accuracies(records, records.tabular_datasets))
    other = ~ranks["attack"].isin(_PAPERS) & ~ranks["attack"].str.startswith(PREFIX)
    return ranks[other].reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Canvas:
    """Draw a panel per attack, the first eight by name."""
    attacks = sorted(set(zip(frame["attack"], frame["attack_norm"], strict=True)))[:MOST]
    return draw_rows(frame, [attacks[i : i + 2] for i in range(0, len(attacks), 2)])


FIGURE = Figure(
    name="attacks",
    title="Average rank under other attacks",
    caption="As Figure 2, for every attack that was run beside PGD and fast gradient, the search "
    "over all vertices and attacks of the user's own among them.",
    build=build,
    draw=draw,
    experiment="",
    optional=True,
)
