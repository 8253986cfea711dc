"""Which defense is best at each single radius: the opening table in detail."""

from __future__ import annotations

import pandas as pd

from analysis import answer, bands
from analysis.artifact import Block, Table
from analysis.names import NORMS, norm_label
from analysis.records import Records


def build(records: Records) -> pd.DataFrame:
    """Return the ranking of every measure with each grid radius for itself."""
    return answer.rankings(records, bands.each_radius(records))


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per norm and measure, radii down; radius 0 has its own."""
    blocks: list[Block] = []
    for norm in (bands.ANY, *NORMS):
        radii = dict.fromkeys(frame[frame["attack_norm"] == norm]["band"])
        keys = [(norm, str(radius), f"ρ = {radius}") for radius in sorted(radii, key=float)]
        title = "Without attack" if norm == bands.ANY else norm_label(norm)
        blocks += answer.blocks(frame, title, keys)
    return tuple(blocks)


TABLE = Table(
    name="radii",
    title="Which defense is best at each radius?",
    caption="As the table that opens this page, for every grid radius ρ alone. The tests are "
    "corrected for the pairs of a radius, not across radii.",
    build=build,
    layout=layout,
    experiment="uci_full",
)
