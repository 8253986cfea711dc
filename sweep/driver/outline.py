"""What a sweep is about to do, in a line or two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache

from sweep.driver.plan import Plan, Task
from sweep.grid.options import curve_options
from sweep.hashing import canonical

_NAMED = 3  # attacks


def outline(plan: Plan, tasks: Sequence[Task]) -> str:
    """How many networks are trained, how many are evaluated further, how many lack nothing."""
    total, complete = len(plan.trials), len(plan.finished)
    if not tasks:
        done = f"{plan.name}: all {total:,} trials are complete{_by_other_code(plan)}"
        return f"{done}; nothing to train or to evaluate"
    parts = [text for text in (_training(plan, tasks), _evaluation(plan, tasks)) if text]
    later = sum(len(part.todo.later) for part in plan.parts)
    if later:
        parts.append(f"evaluate {later:,} of these further after that")
    done = f"{complete:,} of {total:,} complete{_by_other_code(plan)}"
    return f"{plan.name}: {'; '.join(parts)}; {done}"


def _by_other_code(plan: Plan) -> str:
    return f" ({plan.stale:,} of them by other code than today's)" if plan.stale else ""


def _training(plan: Plan, tasks: Sequence[Task]) -> str:
    count = sum(len(part.todo.train) for part in plan.parts)
    again = sum(len(part.todo.again) for part in plan.parts)
    packs = sum(task.job.weights is None for task in tasks)
    if not count:
        return ""
    gone = f" ({again:,} again, as their weights are gone and rows are missing)" if again else ""
    return f"train {_number(count, 'network')}{gone} in {_number(packs, 'pack')}"


def _evaluation(plan: Plan, tasks: Sequence[Task]) -> str:
    count = sum(len(part.todo.evaluate) for part in plan.parts)
    packs = sum(task.job.weights is not None for task in tasks)
    if not count:
        return ""
    return (
        f"evaluate {_number(count, 'kept network')} in {_number(packs, 'pack')} ({_added(plan)})"
    )


def _added(plan: Plan) -> str:
    """The attacks that are added, and at how many radii."""
    radii: dict[str, set[float]] = {}
    lacking = {id(rows): rows for part in plan.parts for _, rows in part.todo.evaluate}
    for rows in lacking.values():
        for row in rows:
            radii.setdefault(row.attack, set()).add(row.attack_grid_radius)
    named = [f"{attack} at {_number(len(own), 'radius')}" for attack, own in radii.items()]
    more = [f"{len(named) - _NAMED} more"] if len(named) > _NAMED else []
    return ", ".join([*named[:_NAMED], *more])


def _number(count: int, what: str) -> str:
    plural = {"radius": "radii"}.get(what, f"{what}s")
    return f"{count:,} {what if count == 1 else plural}"


def curves_that_are_not_made(plan: Plan) -> str | None:
    """Say of how many recorded networks a curve is asked for that was not drawn; None of none.

    Curves are measured while a network trains. They are in no identity, and nothing is trained
    again for them.
    """
    lacking = 0
    covers = lru_cache(maxsize=None)(_covers)
    for part in plan.parts:
        training = {trial.trial_id for trial in part.todo.train}
        asked = {
            checked: canonical(curve_options(part.config.training, checked))
            for checked in (False, True)
        }
        for trial in part.trials:
            if trial.trial_id in plan.known and trial.trial_id not in training:
                recorded = plan.known[trial.trial_id][0].curves
                wanted = asked[trial.bound_checked]
                lacking += recorded is not None and not covers(recorded, wanted)
    if not lacking:
        return None
    return (
        f"{plan.name}: {_number(lacking, 'network')} of these were trained without the curves "
        "that are asked for now, and are not trained again for them; a sweep into another "
        "paths.results draws them"
    )


def _covers(recorded: str, asked: str) -> bool:
    there = json.loads(recorded)
    return all(not value or there.get(name) == value for name, value in json.loads(asked).items())
