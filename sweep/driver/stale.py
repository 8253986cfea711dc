"""Records that other code than today's made: counted before anything starts, and renewed if asked.

A network is stale where the fingerprint of the source that trained it differs from today's, a row
where that of the source that evaluated it does (`sweep.results.fingerprint`). What has none was
recorded before there were any, or by code that could not be read: it is unknown, not stale.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sweep.results import fingerprint, store
from sweep.results.provenance import short
from sweep.results.summary import Source as Source
from sweep.results.summary import Sources

_SHOWN = 6  # defenses or attacks in a line


@dataclass(frozen=True)
class Made:
    """Rows of some trials that one source made."""

    source: Source
    trials: frozenset[str]
    rows: int


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
        networks: how many are recorded, stale or not.
        trials: ids of stale networks.
        defenses: the stale networks, by defense.
        attacks: stale rows of other networks, by attack.
        rows: attack -> the trials whose rows under it are stale.
        unknown: networks without a fingerprint.
        commits: other commits than today's that recorded what is not stale.
    """

    networks: int = 0
    trials: frozenset[str] = frozenset()
    defenses: tuple[Group, ...] = ()
    attacks: tuple[Group, ...] = ()
    rows: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unknown: int = 0
    commits: tuple[str, ...] = ()

    @property
    def measured(self) -> frozenset[str]:
        """The networks with stale rows."""
        return frozenset[str]().union(*self.rows.values())

    def __bool__(self) -> bool:
        return bool(self.trials or self.rows)


def recorded_sources(paths: Iterable[Path], asked: Container[str]) -> list[Made]:
    """Return which source made the recorded rows of some trials; failed ones do not count.

    Args:
        paths: files of records; damaged ones are left out.
        asked: ids of the trials that count.
    """
    # Many trials of many files have few different sources: their sets are made once.
    trials: dict[Sources, list[str]] = {}
    for held in store.summaries_of(paths).values():
        for alike in held.made:
            own = [trial for trial in alike.trials if trial in asked]
            if own:
                trials.setdefault(alike.sources, []).extend(own)
    return [
        Made(source, together, rows * len(ids))
        for sources, ids in trials.items()
        for together in (frozenset(ids),)
        for source, rows in sources
    ]


def compare(recorded: Iterable[Made], commit: str) -> Staleness:
    """Return what of the records other source than today's made.

    Args:
        recorded: of `recorded_sources`.
        commit: today's.
    """
    networks, rows = _Counts(), _Counts()
    everything: set[str] = set()
    stale: set[str] = set()
    unknown: set[str] = set()
    commits: set[str] = set()
    measured: dict[str, set[str]] = {}
    for made in recorded:
        source = made.source
        everything |= made.trials
        if _differs(source.training, fingerprint.of_training(source.defense, source.network)):
            stale |= made.trials
            networks.add(source.defense, source.commit, made.trials)
            continue
        if source.training is None:
            unknown |= made.trials
        of_today = fingerprint.of_evaluation(source.attack, source.network)
        if _differs(source.evaluation, of_today):
            measured.setdefault(source.attack, set()).update(made.trials)
            rows.add(source.attack, source.commit, made.rows)
        else:
            commits.add(source.commit)
    return Staleness(
        networks=len(everything),
        trials=frozenset(stale),
        defenses=networks.groups(),
        attacks=rows.groups(),
        rows={attack: frozenset(trials) for attack, trials in measured.items()},
        unknown=len(unknown - stale),
        commits=tuple(sorted(commits - {commit})),
    )


def _differs(recorded: str | None, today: str | None) -> bool:
    """Whether two fingerprints tell that sources differ; one that is not known tells nothing."""
    return recorded is not None and today is not None and recorded != today


class _Counts:
    """Stale networks or rows, by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.trials: dict[str, set[str]] = {}
        self.commits: dict[str, set[str]] = {}

    def add(self, name: str, commit: str, what: frozenset[str] | int) -> None:
        """Count rows, or trials, which may be named more than once."""
        self.commits.setdefault(name, set()).add(commit)
        if isinstance(what, int):
            self.counts[name] += what
        else:
            self.trials.setdefault(name, set()).update(what)
            self.counts[name] = len(self.trials[name])

    def groups(self) -> tuple[Group, ...]:
        """The most first."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Group(name, n, tuple(sorted(self.commits[name]))) for name, n in ordered)


def warnings_of(stale: Staleness, commit: str, retrain: str) -> Iterator[str]:
    """Yield what to say of stale records before a sweep starts.

    Args:
        stale: what was found.
        commit: today's.
        retrain: of `sweep.config.schema.RETRAIN`: what is done about it.
    """
    other = f"other code than today's (commit {short(commit)})"
    if stale.trials:
        yield (
            f"{other} trained {len(stale.trials):,} of {stale.networks:,} recorded networks, "
            f"and may have given other ones: {_some(stale.defenses)}; "
            f"{_ENDINGS[retrain].format(what='trains them again')}"
        )
    if stale.rows:
        count = sum(group.count for group in stale.attacks)
        yield (
            f"{other} measured {count:,} recorded rows of {len(stale.measured):,} networks, and "
            f"may have given other accuracies: {_some(stale.attacks)}; "
            f"{_ENDINGS[retrain].format(what='measures them again')}"
        )
    if stale.unknown:
        yield (
            f"it is not known whether today's code trained {stale.unknown:,} of "
            f"{stale.networks:,} recorded networks: their records are older than fingerprints of "
            "code"
        )


_ENDINGS: Final[Mapping[str, str]] = {
    "none": "they are kept, as retrain=none says; retrain=changed {what}",
    "changed": "retrain=changed {what}",
    "all": "retrain=all {what}",
}


def same_source(stale: Staleness) -> str:
    """Say which other commits recorded what is not stale."""
    names = [short(commit) for commit in stale.commits]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (
        f"records of other commits ({', '.join(names[:_SHOWN])}{more}) count: the source that "
        "made them is the same today"
    )


def _some(groups: Sequence[Group]) -> str:
    more = f" and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
    return ", ".join(group.text() for group in groups[:_SHOWN]) + more
