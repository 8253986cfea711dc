"""Numbers that float32 and int64 can hold."""

from __future__ import annotations

from typing import Final

# Networks, rates and radii are float32: smaller numbers are flushed to zero, larger ones infinite.
SMALLEST: Final = 2.0**-126
LARGEST: Final = (2 - 2.0**-23) * 2.0**127
LARGEST_INT: Final = 2**63 - 1  # of a column of the records, and of a generator's seed


def out_of_range(value: float) -> str | None:
    """Why float32 cannot hold a number >= 0, as the end of a sentence; None if it can."""
    if value == 0 or SMALLEST <= value <= LARGEST:
        return None
    return f"is beyond float32: allowed are 0 and {SMALLEST:.2g} to {LARGEST:.2g}"
