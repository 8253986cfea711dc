"""Signs of gradient masking: attacks that should be the stronger ones and are not."""

from __future__ import annotations

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.names import label, math_label, order_key
from analysis.records import Records
from analysis.select import selected
from analysis.tables.cells import handed, places

# (the attack that should leave the lower accuracy, one that is weaker or knows no gradient)
PAIRS = (
    ("pgd-l2", "fgm-l2"),
    ("pgd-linf", "fgsm-linf"),
    ("pgd-l1", "fgm-l1"),
    ("pgd-l1", "vertex-l1"),
)
MARGIN = 0.01  # accuracy by which the other attack must win to count


def build(records: Records) -> pd.DataFrame:
    """Return per defense and pair of attacks how often the weaker one did more harm.

    Compared on the same network: the one chosen for the stronger attack at that radius; where
    several tie, the means over them. `masked_percent` is the share of choices where the other
    attack left the test accuracy more than a point lower; a high share says that gradients
    mislead the stronger attack.
    """
    keys = ["trial", "attack_grid_radius"]
    choices = selected(records).with_row_index("choice").filter(pl.col("attack_grid_radius") > 0)
    chosen = choices.select("choice", "defense", "attack", keys[1], pl.col("ties").alias("trial"))
    rows = (
        records.test.join(chosen.select("trial").explode("trial").unique(), on="trial")
        .join(records.cells, on="cell")
        .drop_nulls("accuracy")
    )
    parts = []
    for strong, weak in PAIRS:
        own, other = (
            rows.filter(pl.col("attack") == attack).select(*keys, pl.col("accuracy").alias(name))
            for attack, name in ((strong, "own"), (weak, "other"))
        )
        lead = (pl.col("own") - pl.col("other")).mean().round(12)
        parts.append(
            chosen.filter(pl.col("attack") == strong)
            .explode("trial")
            .join(own, on=keys)
            .join(other, on=keys)
            .group_by("choice", "defense", "attack")
            .agg(lead.alias("lead"))
            .with_columns(other_attack=pl.lit(weak))
        )
    frame = (
        pl.concat(parts)
        .group_by("defense", "attack", "other_attack")
        .agg(
            pl.len().alias("choices"),
            (100 * (pl.col("lead") > MARGIN).mean()).alias("masked_percent"),
            (100 * pl.col("lead").max()).alias("largest_lead"),
        )
    )
    return handed(frame, "defense", "attack", "other_attack")


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print defenses down and pairs of attacks across."""
    found = {(p["defense"], p["attack"], p["other_attack"]): p for p in places(frame)}
    pairs = [pair for pair in PAIRS if any(key[1:] == pair for key in found)]
    rows = []
    for defense in sorted(set(frame["defense"]), key=order_key):
        here = [found.get((defense, *pair)) for pair in pairs]
        text = ["–" if p is None else f"{p['masked_percent']:.1f}%" for p in here]
        rows.append(Row(label(defense), math_label(defense), tuple(map(Cell, text))))
    heads = tuple(f"{label(weak)} beats {label(strong)}" for strong, weak in pairs)
    return (Block("", ("defense", "defense"), heads, tuple(rows)),)


TABLE = Table(
    name="masking",
    title="Signs of gradient masking",
    caption="How often, on the chosen networks, a one-step attack or the search over all vertices "
    "leaves the test accuracy more than a point below that of the iterated attack. A high share "
    "says that the iterated attack is misled and its accuracies flatter the defense.",
    build=build,
    layout=layout,
)
