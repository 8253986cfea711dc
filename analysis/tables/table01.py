"""Table 1: how often aRUB's objective is an upper bound of the adversarial loss."""

from __future__ import annotations

from math import nan

import pandas as pd
import polars as pl

from analysis import paper
from analysis.artifact import Block, Cell, Row, Table
from analysis.names import NORMS, norm_label, norm_symbol
from analysis.paper import agreement
from analysis.records import Records
from analysis.tables.cells import MISSING, CellOf, Place, places


def build(records: Records) -> pd.DataFrame:
    """Return per norm and radius the percentage of checks in which the bound held.

    A check is one `bound_holds` measurement: a network at a multiple of 500 training steps.
    """
    rates = (
        records.curves.filter(
            (pl.col("quantity") == "bound_holds")
            & pl.col("dataset").is_in(list(records.tabular_datasets))
        )
        .with_columns(rho=pl.col("radius").round_sig_figs(12))
        .drop_nulls("value")
        .group_by("norm", "rho")
        .agg(
            (100 * pl.col("value").mean()).alias("percent_upper_bound"),
            pl.len().alias("checks"),
            pl.col("trial_id").n_unique().alias("trials"),
            pl.col("dataset").n_unique().alias("datasets"),
        )
        .collect()
        .to_pandas()
    )
    theirs = paper.bound_rates().rename(columns={"percent_upper_bound": "paper_percent"})
    frame = rates.merge(theirs, on=["norm", "rho"], how="left")
    frame["difference"] = (frame["percent_upper_bound"] - frame["paper_percent"]).round(2)
    order = frame["norm"].map(lambda norm: -NORMS.index(norm))  # Linf first, as in the paper
    return frame.assign(_o=order).sort_values(["_o", "rho"]).drop(columns="_o")


def _blocks(frame: pd.DataFrame, cell: CellOf) -> tuple[Block, ...]:
    radii = sorted(set(frame["rho"]))
    found = {(place["norm"], place["rho"]): place for place in places(frame)}
    rows = []
    for norm in dict.fromkeys(frame["norm"]):
        cells = tuple(cell(found.get((norm, radius), _NOTHING)) for radius in radii)
        rows.append(Row(norm_label(norm), f"${norm_symbol(norm)}$", cells))
    heads = tuple(f"{radius:g}" for radius in radii)
    return (Block("", ("ρ =", r"$\rho =$"), heads, tuple(rows)),)


_NOTHING: Place = {"percent_upper_bound": nan, "paper_percent": nan, "difference": nan}


def _ours(place: Place) -> Cell:
    rate = place["percent_upper_bound"]
    return Cell(MISSING if pd.isna(rate) else f"{rate:.1f}%")


def _theirs(place: Place) -> Cell:
    if pd.isna(place["paper_percent"]):
        return Cell(MISSING)
    return Cell(f"{place['paper_percent']:g}% ({place['difference']:+z.1f})")


TABLE = Table(
    name="table1",
    title="Table 1: how often aRUB is an upper bound",
    caption="Percentage of checks, every 500 training steps, in which aRUB-Lp's objective is at "
    "least the adversarial loss under PGD-Lp, over all networks checked on tabular data.",
    build=build,
    layout=lambda frame: _blocks(frame, _ours),
    compare=lambda frame: _blocks(frame, _theirs),
    agree=agreement.rates,
    experiment="uci_full",
    paper=True,
)
