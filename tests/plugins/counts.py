"""A table of how many trials each defense has."""

from __future__ import annotations

import pandas as pd

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label
from analysis.records import Records


def build(records: Records) -> pd.DataFrame:
    """Return rows `defense, trials`."""
    return records.trials.group_by("defense").len("trials").sort("defense").to_pandas()


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Return one block."""
    rows = tuple(
        Row(label(name), math_label(name), (Cell(str(count)),))
        for name, count in zip(frame["defense"], frame["trials"], strict=True)
    )
    return (Block("", ("defense", "defense"), ("trials",), rows),)


TABLE = Table("counts", "Trials", "Trials of each defense.", build, layout)
