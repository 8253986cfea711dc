"""How strong the paper's attacks are: AutoAttack and certificates on the same networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import polars as pl

from analysis.artifact import Block, Cell, Row, Table
from analysis.autoattack import ARM, CERTAIN, attacked
from analysis.commands import STRONG
from analysis.names import (
    NORMS,
    dataset_title,
    label,
    math_label,
    norm_label,
    norm_symbol,
    ordered,
)
from analysis.records import Records
from analysis.tables.cells import MISSING, handed, places

FLATTERED = 0.05  # accuracy by which AutoAttack must beat the paper's attacks to be marked
SHOWN = {
    "paper": "PGD, FGM",
    "strong": "AutoAttack",
    "vertex": "vertices",
    "certified": "certified",
}
ABOVE, MASKED = "†", "‡"


def build(records: Records) -> pd.DataFrame:
    """Return accuracies of the picked networks under every attack, per data set and radius.

    Means over the repetitions attacked, in percent; `paper_percent` is the minimum over PGD and
    fast gradient.
    `certified_above`: a certified accuracy exceeds the one under AutoAttack, which a sound bound
    cannot by more than sampling noise. `masked`: AutoAttack leaves over five points less than
    the paper's attacks, beyond sampling noise. `missing`: picked networks not attacked yet.
    """
    table = attacked(records)
    if table.is_empty():
        return pd.DataFrame()
    noise = CERTAIN * pl.col("noise") + 1e-9
    both = pl.col("pgd").is_not_null() & pl.col("fgm").is_not_null()
    paper = pl.when(both).then(pl.min_horizontal("pgd", "fgm"))
    # Where some repetitions were attacked, all columns are means over those.
    known = pl.col("strong").is_not_null()
    counted = known | ~known.any().over(ARM)
    means = (
        (100 * pl.col(name).filter("counted").mean()).round(2).alias(f"{name}_percent")
        for name in SHOWN
    )
    frame = (
        table.with_columns(paper=paper, counted=counted)
        .group_by(ARM)
        .agg(
            pl.col("attack_radius").first(),
            *means,
            (pl.col("certified") > pl.col("strong") + noise).any().alias("certified_above"),
            (pl.col("paper") > pl.col("strong") + FLATTERED + noise).any().alias("masked"),
            pl.col("num_samples", "strong_samples").min(),
            pl.len().alias("picked"),
            pl.col("strong").is_null().sum().alias("missing"),
        )
    )
    return handed(frame, "dataset", "family", "attack_norm", "defense", "attack_grid_radius")


def layout(frame: pd.DataFrame) -> tuple[Block, ...]:
    """Print one block per data set and norm: defenses down, radii and what was run across."""
    made = []
    for (dataset, family), cells in frame.groupby(["dataset", "family"], sort=False):
        title = dataset_title(str(dataset)) + ("" if family == "mlp" else ", convolutional")
        for norm in NORMS:
            rows = cells[cells["attack_norm"] == norm]
            if not rows.empty:
                made.append(_block(rows, title, norm))
    return tuple(made)


def _block(cells: pd.DataFrame, title: str, norm: str) -> Block:
    known = [name for name in SHOWN if name == "strong" or cells[f"{name}_percent"].notna().any()]
    radii = sorted(set(cells["attack_grid_radius"]))
    found = {(p["defense"], p["attack_grid_radius"]): p for p in places(cells)}
    rows = [
        Row(
            label(defense),
            math_label(defense),
            tuple(_cell(found.get((defense, r)), name) for r in radii for name in known),
        )
        for defense in ordered(set(cells["defense"]))
    ]
    heads = tuple(f"{radius:g}: {SHOWN[name]}" for radius in radii for name in known)
    return Block(title, (norm_label(norm), f"${norm_symbol(norm)}$"), heads, tuple(rows))


def _cell(place: Mapping[str, Any] | None, name: str) -> Cell:
    if place is None:
        return Cell(MISSING)
    percent = place[f"{name}_percent"]
    if percent is None:
        return Cell("missing" if name == "strong" else MISSING)
    signs = {"certified": (ABOVE, "certified_above"), "paper": (MASKED, "masked")}
    sign, mark = signs.get(name, ("", ""))
    return Cell(f"{percent:.2f}" + (sign if mark and place[mark] else ""))


TABLE = Table(
    name="strong",
    title="AutoAttack on the selected networks",
    caption="Test accuracy (%) of the networks that validation accuracy under PGD picks, by norm "
    "and grid radius: under the paper's attacks (minimum over PGD and fast gradient), AutoAttack, "
    "the search over all vertices (L1), and certified (L1). "
    f"{ABOVE} certified above AutoAttack by more than sampling noise: the bound or the attack is "
    f"wrong. {MASKED} the paper's attacks leave over five points more than AutoAttack: gradients "
    "are masked, or the attack is weak, and its accuracy flatters the defense.",
    build=build,
    layout=layout,
    script=STRONG,
    experiment="",
)
