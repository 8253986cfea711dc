"""Records of a sweep, read back for what is done with its networks afterwards."""

from __future__ import annotations

from collections.abc import Sequence
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


def rows_of(folders: Sequence[store.Folder], trial_id: str) -> tuple[store.Folder, pl.DataFrame]:
    """The experiment that recorded a trial, and the trial's rows.

    Raises:
        UserError: none of the experiments has a record of it, or a file is damaged.
    """
    for folder in folders:
        scanned = store.scan(folder.record_files())
        paths = [path for path, trials in scanned.items() if trial_id in trials]
        if paths:  # rows that were added later lie in files of their own
            own = [frame_of(path).filter(pl.col("trial_id") == trial_id) for path in paths]
            return folder, pl.concat(own)
    raise UserError(f"trial {trial_id!r}: has no record; `networks list` shows those that have")
