"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

# More reference numbers, and real data, lie beside the repository where they are present.
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_path() -> Path:
    """The folder of real data, which are others' and not committed; skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no data sets at {SHARED.name}/ beside the repository")
    return SHARED
