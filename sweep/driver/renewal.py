"""What `retrain` asks for: stale records set aside, so that the plan finds them missing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from sweep import output
from sweep.config.schema import SweepConfig
from sweep.driver import stale
from sweep.driver.plan import Plan, make_plan
from sweep.driver.stale import Staleness
from sweep.results import replaced, store
from sweep.results.lock import locked
from sweep.results.replaced import Unwanted


def survey(plan: Plan, commit: str) -> Staleness:
    """What of a plan's records other code than today's made.

    Args:
        commit: today's.
    """
    paths = [path for one in store.folders(plan.folder.root) for path in one.record_files()]
    return stale.compare(stale.recorded_sources(paths, plan.known.keys()), commit)


def _none(plan: Plan, found: Staleness) -> Unwanted:
    """Networks that other code trained and that must be trained again in any case.

    Their weights are gone and rows are missing: rows of two networks must not stand together.
    """
    again = frozenset(trial for part in plan.parts for trial in part.todo.again)
    return Unwanted(found.trials & again)


def _changed(plan: Plan, found: Staleness) -> Unwanted:
    return Unwanted(found.trials, found.rows)


def _all(plan: Plan, found: Staleness) -> Unwanted:
    """Every network; where the same command was stopped on its way, what it has not made again.

    It set everything aside before it trained: what is recorded now is new, if of today's code.
    """
    return _changed(plan, found) if _begun(plan) else Unwanted(frozenset(plan.known))


def _begun(plan: Plan) -> bool:
    return replaced.begun(plan.folder, (trial.trial_id for trial in plan.trials))


_UNWANTED: Final[Mapping[str, Callable[[Plan, Staleness], Unwanted]]] = {
    "none": _none,
    "changed": _changed,
    "all": _all,
}


def unwanted(plan: Plan, found: Staleness) -> Unwanted:
    """What of a plan's records is to be made again, as its `retrain` says."""
    return _UNWANTED[plan.config.retrain](plan, found)


def tell(plan: Plan, found: Staleness, commit: str) -> None:
    """Warn of what is stale, before anything starts; say which other commits made the rest."""
    for line in stale.warnings_of(found, commit, plan.config.retrain):
        output.warn(f"{plan.name}: {line}")
    if found.commits:
        print(f"{plan.name}: {stale.same_source(found)}", flush=True)


def renewed_plan(parts: Sequence[SweepConfig], commit: str) -> Plan:
    """Return the plan of a sweep that is to run, after what it makes again was set aside.

    The caller holds the lock of the sweep's experiment.

    Args:
        parts: the configuration, one or several.
        commit: today's.

    Raises:
        LockedError: another experiment has records that are to be set aside, and is being run.
    """
    plan = make_plan(parts)
    found = survey(plan, commit)
    tell(plan, found, commit)
    again = unwanted(plan, found)
    if plan.config.retrain == "all" and _begun(plan):
        count = len(plan.known.keys() - again.trials)
        print(f"{plan.name}: retrain=all goes on: {count:,} networks are new already", flush=True)
    if again:
        _set_aside(plan, again)
    if plan.config.retrain == "all":  # not before: killed until here, it sets the rest aside
        replaced.begin(plan.folder, (trial.trial_id for trial in plan.trials))
    made = make_plan(parts) if again else plan
    return replace(made, stale=len(found.trials - again.trials))


def ended(plan: Plan) -> None:
    """Note that all of a plan is recorded: `retrain=all` makes it again from the start then."""
    if _begun(plan):
        replaced.end(plan.folder)


def _set_aside(plan: Plan, again: Unwanted) -> None:
    """Set records aside in every experiment that has them."""
    trials = again.trials.union(*again.rows.values())
    with contextlib.ExitStack() as locks:
        holders = []
        for folder in store.folders(plan.folder.root):
            files = store.scan(folder.record_files()).values()
            if any(not trials.isdisjoint(recorded) for recorded in files):
                if folder.experiment != plan.name:
                    locks.enter_context(locked(folder.path))
                holders.append(folder)
        for folder in holders:
            replaced.set_aside(folder, again)


def previewed_plan(parts: Sequence[SweepConfig], commit: str) -> Plan:
    """Return the plan that a sweep would have; nothing is changed.

    Args:
        parts: the configuration, one or several.
        commit: today's.
    """
    plan = make_plan(parts)
    found = survey(plan, commit)
    tell(plan, found, commit)
    again = unwanted(plan, found)
    made = make_plan(parts, again) if again else plan
    return replace(made, stale=len(found.trials - again.trials))
