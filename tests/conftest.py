"""What all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

# Reference numbers and real data lie beside the repository where they are present.
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_path() -> Path:
    """The folder of golden numbers and real data; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference data at {SHARED.name}/ beside the repository")
    return SHARED
