"""How much of each network MLflow is given."""

from __future__ import annotations

from sweep.errors import unknown

AUTO, FULL, SUMMARY = "auto", "full", "summary"
DETAILS = (AUTO, FULL, SUMMARY)
MOST_IN_FULL = 5_000  # networks of an experiment, by default
LEFT_OUT = "no description, curves, data input, records, and accuracies at few radii"


def check(detail: str) -> None:
    """Refuse what is no detail.

    Raises:
        ValueError: with the details there are.
    """
    if detail not in DETAILS:
        raise ValueError(unknown("detail", detail, DETAILS))


def decide(detail: str, num_trials: int) -> str:
    """Return `full` or `summary`: what was asked for, or what fits the experiment's size."""
    if detail != AUTO:
        return detail
    return FULL if num_trials <= MOST_IN_FULL else SUMMARY


def satisfies(logged: str, wanted: str) -> bool:
    """Whether what was logged in one detail has all that another has."""
    return logged in (wanted, FULL)


def sentence(detail: str, asked: str, num_trials: int) -> str:
    """Return what a person needs to know of a summary; nothing where all is logged."""
    if detail == FULL:
        return ""
    why = f"{num_trials:,} networks, more than {MOST_IN_FULL:,}" if asked == AUTO else "as asked"
    return (
        f"MLflow has a summary of each network ({why}): {LEFT_OUT}; tracking.detail=full has all"
    )
