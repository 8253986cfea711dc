"""Certificates: what proves them, in which norm, and the best proof of each choice.

A certificate is any attack of the records whose name begins with `certified-`: it has a norm and
an accuracy at each radius as attacks have, but from below. Names that are not listed here are
shown under their own label.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.names import label, norm_label
from analysis.records import IS_WEIGHTED, REPETITION, Records
from analysis.select import selected
from sweep.results.schema import CERTIFIED

PREFIX = "certified-"
PAPER = CERTIFIED
# What proves a certificate, the tightest first: of several with equal accuracy that one counts.
PROOFS = {
    "certified-l1-best": "best of all proofs",
    "certified-l2": "best of all proofs",
    "certified-linf": "best of all proofs",
    "certified-l1-tight": "RUB, t optimised",
    PAPER: "RUB, as in the paper",
}
IS_CERTIFICATE = pl.col("attack").str.starts_with(PREFIX)
_PLACE = ("attack_norm", "attack_grid_radius")


def proof_title(name: str, norm: str) -> str:
    """Return a certificate's name in print: norm and proof."""
    plain, _, costs = name.partition("(")
    proof = PROOFS.get(plain)
    known = label(plain) if proof is None else f"{norm_label(norm)}, {proof}"
    return f"{known}, {costs.removesuffix(')').replace('=', ' = ')}" if costs else known


def recorded(records: Records) -> list[str]:
    """Return the certificates of plain balls that the records have, the tightest first."""
    names = records.cells.filter(IS_CERTIFICATE & ~IS_WEIGHTED)["attack"].unique().to_list()
    known = list(PROOFS)
    return sorted(names, key=lambda n: (known.index(n) if n in known else len(known), n))


def papers(records: Records, datasets: Sequence[str]) -> pl.DataFrame:
    """Return the choices by the paper's certificate, with the columns of `weakest`."""
    return _certified(records, datasets).filter(pl.col("attacks") == PAPER)


def strongest(records: Records, datasets: Sequence[str]) -> pl.DataFrame:
    """Return the choices by the best proof of each norm, with the columns of `weakest`.

    Each certificate selects for itself; the one whose choice has the highest certified accuracy on
    validation data counts, and its test accuracy is shown.
    """
    turns = {name: turn for turn, name in enumerate(recorded(records))}
    tightest = pl.col("attacks").replace_strict(turns, return_dtype=pl.Int64)
    group = ["dataset", "defense", *_PLACE, *REPETITION]
    return (
        _certified(records, datasets)
        .sort(-pl.col("validation_accuracy").round(9), tightest)
        .unique(group, keep="first", maintain_order=True)
        .sort(group)
    )


def _certified(records: Records, datasets: Sequence[str]) -> pl.DataFrame:
    plain = IS_CERTIFICATE & ~IS_WEIGHTED
    chosen = selected(records).filter(pl.col("dataset").is_in(datasets) & plain)
    return chosen.rename({"attack": "attacks"}).drop_nulls("accuracy")
