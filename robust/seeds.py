"""Seeds: a hash of what they are for, so that order and parallelism cannot change them."""

from __future__ import annotations

import hashlib
import json


def derived_seed(*parts: int | float | str) -> int:
    """Return a seed in 0..2^63-1 from the values and words that name its purpose."""
    text = json.dumps(parts, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
