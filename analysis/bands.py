"""The ranking that stands first: within a norm and a band of radii, with an interval and a test.

Which defense is best depends on the radius, so a mean over all radii says what the grid of radii
happens to be. Radii are put into bands; per data set the accuracies are averaged over a band's
radii, and ranked. Nothing is averaged over bands or norms. What is ranked is a measure: accuracy
under attack (minimum over PGD and fast gradient), or certified accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import polars as pl

from analysis import certificates
from analysis.names import NORMS
from analysis.posthoc import friedman, holm, pairs, wilcoxon
from analysis.ranks import (
    Comparison,
    comparisons,
    covered,
    means_of_all,
    rank_interval,
)
from analysis.records import Records
from analysis.statistics import Array, bootstrap_interval, dense_ranks
from analysis.weakest import PLACE, weakest

ANY = "any"  # the norm of radius 0, where all balls are a point
AHEAD, CLOSE, TOO_FEW = "ahead", "not distinguishable", "too few data sets"  # verdicts
LEVEL = 0.05  # below it a p counts
_CLOSE = 1e-9  # relative, of a radius to a band's limit


@dataclass(frozen=True)
class Band:
    """Grid radii above one and up to another, included."""

    name: str
    above: float
    up_to: float

    @property
    def rule(self) -> str:
        """The limits in words."""
        if self.up_to == 0:
            return "radius 0"
        low = f"{self.above:g} < " if self.above > 0 else ""
        high = "" if np.isinf(self.up_to) else f" <= {self.up_to:g}"
        return f"{low}radius{high}"


# Of the paper's 19 radii above 0, nine are small, four medium and seven large.
BANDS = (
    Band("clean", -1.0, 0.0),
    Band("small", 0.0, 0.01),
    Band("medium", 0.01, 1.0),
    Band("large", 1.0, float("inf")),
)
ALWAYS = 0.0  # the radius at which all norms and attacks are one
KEYS = ("attack_norm", "band")
COLUMNS = (
    *(*KEYS, "defense", "place", "mean_rank", "ci_low", "ci_high", "mean_accuracy", "datasets"),
    *("total", "run_on", "unfinished", "radii", "repetitions", "friedman_p", "holm_p"),
    *("margin", "margin_low", "margin_high", "ranked", "equal", "chosen", "flagged", "attacks"),
)


@dataclass(frozen=True)
class Measure:
    """What defenses are ranked by.

    Attributes:
        title: what it is, in print.
        rows: the rows it ranks, as `weakest` returns them, of some data sets.
        there: whether the records have it.
    """

    title: str
    rows: Callable[[Records, Sequence[str]], pl.DataFrame]
    there: Callable[[Records], bool]


ATTACKED = "attacked"
MEASURES = {
    ATTACKED: Measure("Under attack", weakest, lambda records: True),
    "certified": Measure(
        "Certified, as in the paper",
        certificates.papers,
        lambda records: certificates.PAPER in certificates.recorded(records),
    ),
    "proven": Measure(
        "Certified, best proof recorded",
        certificates.strongest,
        lambda records: bool({*certificates.recorded(records)} - {certificates.PAPER}),
    ),
}


def measures(records: Records) -> list[str]:
    """Return the measures that the records have."""
    return [name for name, measure in MEASURES.items() if measure.there(records)]


def each_radius(records: Records) -> tuple[Band, ...]:
    """Return a band of its own for every grid radius there is."""
    radii = sorted(records.cells["attack_grid_radius"].unique().to_list())
    below = [-1.0, *radii]
    return tuple(Band(f"{r:g}", low, r) for low, r in zip(below, radii, strict=False))


def ranking(
    records: Records, measure: str = ATTACKED, bands: tuple[Band, ...] = BANDS
) -> pd.DataFrame:
    """Return each defense's mean rank across data sets, within every norm and band of radii.

    Over the tabular data sets, the image ones where there are no others.

    Args:
        records: all records.
        measure: what is ranked, a name of `MEASURES`.
        bands: which radii are put together.

    Returns:
        Columns `COLUMNS`, best first within a norm and band, of equal mean ranks the higher mean
        accuracy first; radius 0 has the norm `any`.
        `mean_rank` is dense (1 is best) over the `datasets` of `total` data sets on which every
        covered defense was run, `ci_low, ci_high` its 95% interval across them, and
        `mean_accuracy` over those on which the defense finished; on `unfinished` it did not and
        ranks last. `run_on` counts its data sets; a defense that is not covered has no rank.
        `radii` and `repetitions` are the fewest averaged on a data set. `friedman_p` tests all
        defenses, `holm_p` this one against the best (Wilcoxon, Holm's correction over all pairs).
        `margin` is the best's lead over this one in percent points, its mean over data sets.
        `ranked` counts the defenses ranked, `equal` those of them, the best left out, that equal
        the best on every data set. `attacks` are those that the minimum is over, by data set
        where that differs.
    """

    def make() -> pd.DataFrame:
        found = MEASURES[measure].rows(records, _ranked_datasets(records))
        banded = _banded(found, records, bands)
        means, totals = _band_means(banded), _totals(banded)
        cells = {tuple(cell.place.values()): cell for cell in comparisons(means, KEYS)}
        order = [(norm, band.name) for norm in (ANY, *NORMS) for band in bands]
        rows = [
            row for key in order if key in cells for row in _rows(cells[key], means, totals[key])
        ]
        frame = pd.DataFrame(rows, columns=[c for c in COLUMNS if c not in ("chosen", "flagged")])
        health = _health(_in_bands(found, bands), records).to_pandas()
        return (
            frame.assign(attacks=frame["attack_norm"].map(_attacks(found)))
            .merge(health, on=[*KEYS, "defense"], how="left")
            .reindex(columns=list(COLUMNS))
        )

    return records.once(("ranking by bands", measure, bands), make)


def _ranked_datasets(records: Records) -> tuple[str, ...]:
    return records.tabular_datasets or records.datasets


def _attacks(rows: pl.DataFrame) -> dict[str, str]:
    """Return the attacks that the values of a norm are of."""
    kinds = rows.group_by("attack_norm").agg(pl.col("attacks").unique().sort().str.join(" or "))
    return dict(kinds.iter_rows())


def _health(banded: pl.DataFrame, records: Records) -> pl.DataFrame:
    """Return how many networks were chosen for a defense, and how many of them are flagged."""
    flags = records.trials.select("trial", ill=pl.col("flags") != "")
    return (
        banded.join(flags, on="trial")
        .unique([*KEYS, "defense", "trial"])
        .group_by(*KEYS, "defense")
        .agg(pl.len().alias("chosen"), pl.col("ill").sum().alias("flagged"))
    )


def _totals(banded: pl.DataFrame) -> dict[tuple[str, str], int]:
    """Return on how many data sets anything has a result, per norm and band."""
    counts = banded.drop_nulls("accuracy").group_by(KEYS).agg(pl.col("dataset").n_unique())
    return {(norm, band): total for norm, band, total in counts.iter_rows()}


def _band_means(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows `dataset, defense, *KEYS, accuracy, radii, repetitions` from those of radii.

    The mean over a band's radii is over those that all covered defenses with a result share.
    """
    ranked = rows.join(
        covered(rows, KEYS).filter("covered").select(*KEYS, "defense"), on=[*KEYS, "defense"]
    )
    finished = ranked.drop_nulls("accuracy")
    here = ["dataset", *KEYS]
    shared = finished.filter(
        pl.col("defense").n_unique().over(*here, "attack_grid_radius")
        == pl.col("defense").n_unique().over(here)
    )
    averaged = shared.group_by(*here, "defense").agg(
        pl.col("accuracy").mean().round(12), pl.len().alias("radii"), pl.col("repetitions").min()
    )
    others = pl.concat(
        [
            rows.join(ranked, on=[*here, "defense"], how="anti"),
            ranked.filter(pl.col("accuracy").is_null()),
        ]
    )
    rest = others.select(*here, "defense", "accuracy").unique([*here, "defense"])
    return pl.concat([averaged, rest], how="diagonal").sort(*here, "defense")


def _banded(found: pl.DataFrame, records: Records, bands: Sequence[Band]) -> pl.DataFrame:
    """Return the means over repetitions with their `band`, each defense once at radius 0."""
    banded = _in_bands(means_of_all(found, records, PLACE), bands)
    here = ["dataset", *KEYS, "defense", "attack_grid_radius"]
    return banded.unique(here, keep="first", maintain_order=True)


def _in_bands(rows: pl.DataFrame, bands: Sequence[Band]) -> pl.DataFrame:
    """Return the rows with the `band` of their radius, those of radius 0 under the norm `any`."""
    radius = pl.col("attack_grid_radius")
    clean = radius == ALWAYS
    return (
        pl.concat(
            [
                rows.filter(
                    (radius > b.above * (1 + _CLOSE)) & (radius <= b.up_to * (1 + _CLOSE))
                ).with_columns(band=pl.lit(b.name))
                for b in bands
            ]
        )
        .sort("attack_norm", maintain_order=True)
        .with_columns(attack_norm=pl.when(clean).then(pl.lit(ANY)).otherwise("attack_norm"))
    )


def _rows(cell: Comparison, means: pl.DataFrame, total: int) -> list[dict[str, object]]:
    """Return the rows of one norm and band; one defense alone makes no ranking."""
    if len(cell.defenses) < 2 or not cell.datasets:
        return []
    ranks = dense_ranks(cell.ordinal)
    mean, low, high = rank_interval(ranks)
    here = means.filter(
        (pl.col("attack_norm") == cell.place["attack_norm"])
        & (pl.col("band") == cell.place["band"])
        & pl.col("dataset").is_in(cell.datasets)
    )
    accuracies = np.array([_mean_of_finished(scores) for scores in cell.scores.T])
    order = np.lexsort((np.nan_to_num(-accuracies, nan=np.inf), mean))
    overall, apart = _tests(cell, int(order[0]))
    ahead = [_margin(cell.scores[:, order[0]] - cell.scores[:, i]) for i in range(len(order))]
    common = {
        **cell.place,
        "datasets": len(cell.datasets),
        "total": total,
        "radii": here["radii"].min(),
        "repetitions": here["repetitions"].min(),
        "friedman_p": overall,
        "ranked": len(cell.defenses),
        "equal": int((cell.ordinal[:, order[0]] == cell.ordinal.T).all(axis=1).sum()) - 1,
    }
    rows: list[dict[str, object]] = [
        common
        | {
            "defense": cell.defenses[i],
            "place": place,
            "mean_rank": mean[i],
            "ci_low": max(low[i], 1.0),
            "ci_high": min(high[i], len(cell.defenses)),
            "mean_accuracy": accuracies[i],
            "run_on": cell.run_on[i],
            "unfinished": cell.unfinished[i],
            "holm_p": apart[i],
            **dict(zip(("margin", "margin_low", "margin_high"), ahead[i], strict=True)),
        }
        for place, i in enumerate(order.tolist(), 1)
    ]
    left_out = ({**cell.place, "defense": d, "run_on": n} for d, n in cell.left_out.items())
    return [*rows, *(row | {"total": total} for row in left_out)]


def _margin(leads: Array) -> tuple[float, float, float]:
    """Return the mean of leads (n,) in percent points and its 95% interval; NaN are left out."""
    known = 100 * leads[~np.isnan(leads)]
    if not len(known):
        return (float("nan"),) * 3
    mean = float(known.mean())
    if len(known) < 2:
        return mean, float("nan"), float("nan")
    low, high = bootstrap_interval(known)
    return mean, float(low), float(high)


def _mean_of_finished(scores: Array) -> float:
    finished = scores[~np.isnan(scores)]
    return float(finished.mean()) if len(finished) else float("nan")


def _tests(cell: Comparison, best: int) -> tuple[float, Array]:
    """Return Friedman's p (NaN below 3 x 2) and Holm's p of every defense against the best."""
    test = friedman(cell.ordinal)
    adjusted = holm(wilcoxon(cell.ordinal))
    against = np.full(len(cell.defenses), np.nan)
    for (a, b), p in zip(pairs(len(cell.defenses)).tolist(), adjusted, strict=True):
        if best in (a, b):
            against[b if a == best else a] = p
    return (float("nan") if test is None else test.p), against


def verdict(friedman_p: float, holm_p: float) -> str:
    """Say whether the best is ahead of another defense."""
    if np.isnan(holm_p):
        return TOO_FEW
    differ = np.isnan(friedman_p) or friedman_p < LEVEL
    return AHEAD if differ and holm_p < LEVEL else CLOSE
