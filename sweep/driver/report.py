"""What a sweep says when it ends."""

from __future__ import annotations

import shlex

from sweep.config.schema import Paths
from sweep.driver.overhead import SlotTime
from sweep.driver.plan import Plan
from sweep.driver.progress import Progress, duration
from sweep.installation import command_of
from sweep.tracking import views
from sweep.uri import DATABASE, database_file, redacted_uri


def counts(progress: Progress, slot_time: SlotTime) -> str:
    """Trials, outcomes, and the share of the workers' time that trained and evaluated nothing."""
    return (
        f"{progress.trials_done:,} trials in {duration(progress.elapsed())}: "
        f"{progress.diverged:,} diverged, {progress.failed:,} failed; orchestration took "
        f"{slot_time.share():.0%} of the time ({slot_time.parts()})"
    )


def failures(plan: Plan, progress: Progress) -> list[str]:
    """The last failures and where their tracebacks are."""
    if not progress.failed:
        return []
    return [
        *(f"failed: {text}" for text in progress.failures),
        f"tracebacks: {plan.folder.logs}; running the same command again retries what failed",
    ]


def where(plan: Plan, experiment_id: str = "", remark: str = "") -> list[str]:
    """The paths, and the commands to look at them.

    Args:
        plan: of the sweep.
        experiment_id: MLflow's, if it could be reached.
        remark: on what MLflow lacks, if it lacks anything.
    """
    lines = [f"records:  {plan.folder.path}"]
    if plan.config.tracking.enabled:
        lines.append(f"runs:     {_runs(redacted_uri(plan.config.tracking.uri), experiment_id)}")
        lines += [f"          {remark}"] if remark else []
    lines.append(f"tables:   {_tables(plan)}")
    return lines


def _tables(plan: Plan) -> str:
    """The command that makes the tables, with the folder of the results if it is not the usual."""
    results = plan.config.paths.results
    folder = f" results={shlex.quote(results)}" if results != Paths().results else ""
    return f"{command_of('analysis/make_tables.py')} experiment={shlex.quote(plan.name)}{folder}"


def _runs(uri: str, experiment_id: str) -> str:
    """The address of the runs table, or the command that serves it."""
    if uri.startswith("http"):
        return views.link(uri, experiment_id) if experiment_id else uri
    file = database_file(uri)
    if file is None:
        return f"mlflow ui --backend-store-uri {shlex.quote(uri)} --host 127.0.0.1"
    return (
        "robust-sweep ui"
        if file == DATABASE
        else f"robust-sweep ui database={shlex.quote(str(file))}"
    )
