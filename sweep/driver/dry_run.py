"""What a sweep would do, and what it would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from sweep.cost import model
from sweep.cost.calibration import Rates
from sweep.datasets.values import UNLOADED
from sweep.driver.outline import curves_that_are_not_made, outline
from sweep.driver.plan import Plan, Task, network_bytes, record_bytes
from sweep.driver.progress import duration
from sweep.grid.trial import Trial
from sweep.results import schema


def show(plan: Plan, tasks: Sequence[Task], rates: Rates, slots: int) -> None:
    """Print trials, packs, what is complete, operations, hours and disk space."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    console.print(_table(plan, tasks))
    print(outline(plan, tasks))
    missing_curves = curves_that_are_not_made(plan)
    if missing_curves is not None:
        print(missing_curves)
    show_certificates(plan)
    _show_price(plan, tasks, rates, slots)
    unloaded = sorted(
        {info.name for part in plan.parts for info in part.infos.values() if info.hash == UNLOADED}
    )
    if unloaded:
        print(
            f"data sets that are not downloaded yet: {_some(unloaded)}; "
            "their sizes are the catalog's, and what of them is complete cannot be told"
        )
    print("dry run: nothing was trained or evaluated")


def show_certificates(plan: Plan) -> None:
    """Say which certificates beyond RUB's are made, and why not the others."""
    for part in plan.parts:
        made = part.config.evaluation.certificates
        left = [name for name in schema.CERTIFIED_BEST if name not in made]
        if made:
            print(f"certificates by the best proof: {', '.join(made)}")
        if left:
            print(
                f"not made: {', '.join(left)} (not for these networks, not asked for, or at least "
                f"{model.CHEAP:.0%} of the other rows' cost; evaluation.certificates=[{left[0]}])"
            )


def _some(names: Sequence[str], shown: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def _table(plan: Plan, tasks: Sequence[Task]) -> Table:
    trials = Counter(_kind(t) for t in plan.trials)
    counts = {
        "complete": Counter(_kind(t) for t in plan.trials if t.trial_id in plan.finished),
        "to train": Counter(_kind(t) for part in plan.parts for t in part.todo.train),
        "to evaluate": Counter(_kind(t) for part in plan.parts for t, _ in part.todo.evaluate),
        "packs": Counter(_kind(task.job.pack.first) for task in tasks),
    }
    seconds: Counter[tuple[str, str]] = Counter()
    for task in tasks:
        seconds[_kind(task.job.pack.first)] += round(task.seconds)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("data set")
    table.add_column("defense")
    for name in ("trials", *counts, "device time"):
        table.add_column(name, justify="right")
    for key, count in trials.items():
        numbers = (f"{own[key]:,}" for own in counts.values())
        table.add_row(*key, f"{count:,}", *numbers, duration(seconds[key]))
    return table


def _kind(trial: Trial) -> tuple[str, str]:
    return trial.dataset, trial.defense


def _show_price(plan: Plan, tasks: Sequence[Task], rates: Rates, slots: int) -> None:
    train = sum(task.price.train_flops for task in tasks)
    evaluation = sum(task.price.evaluation_flops for task in tasks)
    seconds = sum(task.seconds for task in tasks)
    longest = max((task.seconds for task in tasks), default=0.0)
    rows = record_bytes(tasks)
    added = sum(task.seconds for task in tasks if task.job.weights is not None)
    print(
        f"operations: {train:.2e} to train + {evaluation:.2e} to evaluate; "
        f"estimated {duration(max(seconds / slots, longest))} with {slots} packs at a time; "
        f"records about {rows / 1e6:,.1f} MB, {_networks(plan)}"
    )
    if added:
        print(
            f"of the device time {duration(seconds - added)} to train networks and evaluate them, "
            f"{duration(added)} to evaluate kept networks further"
        )
    if rates.packs:
        assert rates.error is not None
        print(
            f"(estimate calibrated on {rates.packs:,} packs that ran here; "
            f"past estimates were off by {rates.error:.0%} in the median)"
        )
        share = rates.around_pack * len(tasks) / max(seconds, 1e-9)
        print(
            f"orchestration: {f'{share:.1%}' if share >= 0.001 else 'below 0.1%'} of that "
            f"({rates.around_pack:.2f}s around each pack), and some seconds to start"
        )
    else:
        print("(estimate not calibrated: no pack has run here yet)")


def _networks(plan: Plan) -> str:
    """What the kept networks of the missing trials take on disk."""
    choice = plan.config.keep.networks
    size = sum(network_bytes(part, plan.missing(part)) for part in plan.parts)
    until = ", of which the selected ones stay" if choice == "selected" and size else ""
    shown = f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
    return f"networks about {shown}{until} (keep.networks={choice})"
