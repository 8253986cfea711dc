"""Errors that the person at the keyboard can mend; each message is one clear line."""

from __future__ import annotations

from collections.abc import Sequence

from robust.registry import unknown as unknown


class UserError(RuntimeError):
    """Something outside the program must change; the message says what."""


class LockedError(UserError):
    """Another driver works on the experiment."""


class SchemaError(UserError):
    """Records on disk were written with another schema version."""


class RayError(UserError):
    """Ray could not be started or joined, or lacks what was asked for."""


class StorageError(UserError):
    """Records cannot be written."""


class DamagedError(UserError):
    """A file of records does not hold what was written to it."""


class MissingWeightsError(UserError):
    """Weights of trained networks are not there, or were damaged.

    Args:
        trial_ids: of the networks.
    """

    def __init__(self, trial_ids: Sequence[str]) -> None:
        self.trial_ids = tuple(trial_ids)
        more = f" and {len(trial_ids) - 1:,} more" if len(trial_ids) > 1 else ""
        super().__init__(f"no weights are kept of trial {trial_ids[0]}{more}")


class TrackingError(UserError):
    """MLflow cannot be used."""


def yaml_error(error: Exception) -> str:
    """What is wrong with a YAML text and in which line, in one line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem: str = getattr(error, "problem", None) or " ".join(str(error).split())
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


def unreadable(error: OSError) -> str:
    """Why a file cannot be read, in words."""
    return (
        "it is a folder" if isinstance(error, IsADirectoryError) else str(error.strerror or error)
    )
