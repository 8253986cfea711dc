"""Records of a sweep, read back for what is done with its networks afterwards."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sweep.errors import DamagedError, UserError
from sweep.results import store


def frame_of(path: Path) -> pl.DataFrame:
    """The rows of one file.

    Raises:
        UserError: it is damaged.
    """
    try:
        table = pl.from_arrow(store.read_table(path))
    except DamagedError as error:
        raise UserError(f"{error}; run the sweep again, which trains what it held") from None
    assert isinstance(table, pl.DataFrame)
    return table
