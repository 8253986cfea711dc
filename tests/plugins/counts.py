"""A table of how many comparisons each defense has a result in."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label
from analysis.ranks import attacked_accuracies, comparisons
from analysis.records import Records


def build(records: Records) -> pd.DataFrame:
    """Return rows `defense, comparisons`: attacks times radii."""
    cells = comparisons(attacked_accuracies(records, records.datasets))
    counts = Counter(defense for cell in cells if cell.datasets for defense in cell.defenses)
    return pd.DataFrame(sorted(counts.items()), columns=["defense", "comparisons"])


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Return one block."""
    rows = tuple(
        Row(label(name), math_label(name), (Cell(str(count)),))
        for name, count in zip(frame["defense"], frame["comparisons"], strict=True)
    )
    return (Block("", ("defense", "defense"), ("comparisons",), rows),)


TABLE = Table("counts", "Comparisons", "Comparisons of each defense.", build, layout)
