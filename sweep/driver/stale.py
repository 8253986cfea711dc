"""Records that other code than today's made: counted before anything starts, and renewed if asked.

A network is stale where the fingerprint of the source that trained it differs from today's, a row
where that of the source that evaluated it does (`sweep.results.fingerprint`). What has none was
recorded before there were any, or by code that could not be read: it is unknown, not stale.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from sweep.results import fingerprint
from sweep.results.provenance import short

_SOURCE: Final = (
    *("trial_id", "defense", "network", "attack", "git_commit"),
    *("source_fingerprint", "evaluation_fingerprint"),
)
_SHOWN = 6  # defenses or attacks in a line


@dataclass(frozen=True)
class Group:
    """Stale networks of one defense, or stale rows of one attack.

    Attributes:
        name: of the defense or attack.
        count: how many.
        commits: that recorded them.
    """

    name: str
    count: int
    commits: tuple[str, ...]

    def text(self) -> str:
        """The group in a line."""
        return f"{self.name} {self.count:,} (commit {', '.join(map(short, self.commits))})"


@dataclass(frozen=True)
class Staleness:
    """What of a grid's records other code than today's made.

    Attributes:
        trials: ids of stale networks.
        defenses: the stale networks, by defense.
        attacks: stale rows of other networks, by attack.
        rows: network, attack and fingerprint of the rows that are stale.
        unknown: networks without a fingerprint.
        commits: other commits than today's that recorded what is not stale.
    """

    trials: frozenset[str] = frozenset()
    defenses: tuple[Group, ...] = ()
    attacks: tuple[Group, ...] = ()
    rows: frozenset[tuple[str, str, str]] = frozenset()
    unknown: int = 0
    commits: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.trials or self.rows)


def recorded_sources(paths: Iterable[Path], trial_ids: Container[str]) -> pl.DataFrame:
    """Return which source made the recorded rows of some trials, and how many rows.

    Args:
        paths: sound files of records.
        trial_ids: of the trials that count.

    Returns:
        Columns of the records, and `rows`; one line for each difference.
    """
    found = [
        frame.filter(pl.col("trial_id").map_elements(trial_ids.__contains__, pl.Boolean))
        for frame in map(_sources_of, paths)
    ]
    kinds = dict.fromkeys(_SOURCE, pl.String()) | {"rows": pl.UInt32()}
    return pl.concat([pl.DataFrame(schema=kinds), *found])


def _sources_of(path: Path) -> pl.DataFrame:
    """The same of one file, for all of its finished trials."""
    rows = pl.read_parquet(path, columns=[*_SOURCE, "status"], hive_partitioning=False)
    finished = rows.filter(pl.col("status") != "failed")
    return finished.group_by(_SOURCE).agg(pl.len().alias("rows"))


def compare(recorded: pl.DataFrame, commit: str) -> Staleness:
    """Return what of the records other source than today's made.

    Args:
        recorded: of `recorded_sources`.
        commit: today's.
    """
    if recorded.is_empty():
        return Staleness()
    told = recorded.with_columns(
        training=_today(recorded, ("defense", "network"), fingerprint.of_training),
        evaluation=_today(recorded, ("attack", "network"), fingerprint.of_evaluation),
    )
    networks = told.filter(pl.col("source_fingerprint") != pl.col("training"))
    stale = frozenset(networks["trial_id"])
    others = told.filter(~pl.col("trial_id").is_in(list(stale)))
    rows = others.filter(pl.col("evaluation_fingerprint") != pl.col("evaluation"))
    same = others.join(rows, on=_SOURCE, how="anti", nulls_equal=True)
    return Staleness(
        trials=stale,
        defenses=_groups(networks, "defense", pl.col("trial_id").n_unique()),
        attacks=_groups(rows, "attack", pl.col("rows").sum()),
        rows=frozenset(rows.select("network", "attack", "evaluation_fingerprint").iter_rows()),
        unknown=others.filter(pl.col("source_fingerprint").is_null())["trial_id"].n_unique(),
        commits=tuple(sorted(set(same["git_commit"]) - {commit})),
    )


def _today(
    rows: pl.DataFrame, names: tuple[str, str], of: Callable[[str, str], str | None]
) -> pl.Series:
    """The fingerprint of each row by today's source."""
    pairs = rows.select(names).rows()
    known = {pair: of(*pair) for pair in set(pairs)}
    return pl.Series([known[pair] for pair in pairs], dtype=pl.String)


def _groups(rows: pl.DataFrame, by: str, count: pl.Expr) -> tuple[Group, ...]:
    """The stale networks or rows by name, the most first."""
    groups = rows.group_by(by).agg(count.alias("count"), pl.col("git_commit").unique().sort())
    ordered = groups.sort(["count", by], descending=[True, False])
    return tuple(Group(name, n, tuple(commits)) for name, n, commits in ordered.iter_rows())


def warnings_of(stale: Staleness, commit: str, retrain: str) -> Iterator[str]:
    """Yield what to say of stale records before a sweep starts.

    Args:
        stale: what was found.
        commit: today's.
        retrain: of `sweep.config.schema.RETRAIN`: what is done about it.
    """
    if stale.trials:
        yield (
            f"{len(stale.trials):,} recorded networks were trained by other code than today's "
            f"(commit {short(commit)}), which may give other ones: {_some(stale.defenses)}; "
            f"{_ENDINGS[retrain].format(what='trains them again')}"
        )
    if stale.rows:
        count = sum(group.count for group in stale.attacks)
        yield (
            f"{count:,} recorded rows were measured by other code than today's (commit "
            f"{short(commit)}), which may give other accuracies: {_some(stale.attacks)}; "
            f"{_ENDINGS[retrain].format(what='measures them again')}"
        )
    if stale.unknown:
        yield (
            f"of {stale.unknown:,} recorded networks it is not known whether today's code trains "
            "the same: their records are older than fingerprints of code"
        )


_ENDINGS: Final[Mapping[str, str]] = {
    "none": "they are kept, as retrain=none says; retrain=changed {what}",
    "changed": "retrain=changed {what}",
    "all": "retrain=all {what}",
}


def _some(groups: Sequence[Group]) -> str:
    more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return ", ".join(group.text() for group in groups[:_SHOWN]) + more
