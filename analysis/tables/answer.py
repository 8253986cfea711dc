"""Which defense is best, per norm and band of radii: the table that opens the report."""

from __future__ import annotations

import pandas as pd

from analysis import answer, bands
from analysis.artifact import Block, Table
from analysis.names import NORMS
from analysis.records import Records


def build(records: Records) -> pd.DataFrame:
    """Return the ranking by bands of every measure, as `answer.rankings` has it."""
    return answer.rankings(records, bands.BANDS)


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one row per norm and band."""
    keys = [(n, b.name, answer.row_label(n, b)) for n in (bands.ANY, *NORMS) for b in bands.BANDS]
    return answer.blocks(frame, "", keys)


TABLE = Table(
    name="answer",
    title="Which defense is best?",
    caption="Best defense by mean rank across data sets, within a norm and a band of grid radii "
    "ρ (of equal mean ranks the higher mean accuracy), its mean accuracy over data sets, and by "
    "how many percent points it is ahead of the second on average, with the 95% interval across "
    f"data sets. {answer.BEHIND_NOTE} Equal: on every data set. "
    "Ahead, in bold: Wilcoxon's signed-rank test with Holm's correction over all pairs and "
    "Friedman's test, both below 0.05. Flagged: how many of the best defense's "
    "chosen networks carry a health flag. Under attack is the minimum over PGD and fast gradient. "
    "The ball's radius is ρ√D for L1 and L2 and ρ for L∞, D being the number of features.",
    build=build,
    layout=layout,
    first=True,
    experiment="uci_full",
)
