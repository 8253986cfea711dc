"""The hash of what determines a thing: the identity of trials, packs, splits and caches."""

from __future__ import annotations

import hashlib
import json

# Made once: `json.dumps` makes one at every call, and a million trials have an id.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: object) -> str:
    """Return the value's JSON in its one canonical form."""
    return _ENCODER.encode(value)


def content_hash(value: object, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of the value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
