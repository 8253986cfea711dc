"""What a sweep says when it ends."""

from __future__ import annotations

from sweep.driver.overhead import SlotTime
from sweep.driver.plan import Plan
from sweep.driver.progress import Progress, duration
from sweep.installation import command_of
from sweep.uri import redacted_uri


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


def where(plan: Plan) -> list[str]:
    """The paths, and the commands to look at them."""
    lines = [f"records:  {plan.folder.path}"]
    if plan.config.tracking.enabled:
        uri = redacted_uri(plan.config.tracking.uri)
        lines.append(
            f"runs:     {uri}"
            if uri.startswith("http")
            else f"runs:     mlflow ui --backend-store-uri {uri} --host 127.0.0.1"
        )
    lines.append(f"tables:   {command_of('analysis/make_tables.py')} experiment={plan.name}")
    return lines
