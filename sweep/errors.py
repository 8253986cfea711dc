"""Errors that the person at the keyboard can mend; each message is one clear line."""

from __future__ import annotations


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


class TrackingError(UserError):
    """MLflow cannot be used."""
