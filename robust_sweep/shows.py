"""What a sweep's records come to, as it ends: the ranking of the defenses, or a table.

The analysis takes seconds to import and is imported only where it is needed.
"""

from __future__ import annotations

from sweep.config.schema import RANKING
from sweep.errors import unknown
from sweep.results.store import Folder


def check(shows: str) -> None:
    """Refuse what cannot be shown.

    Args:
        shows: the configuration's key of that name.

    Raises:
        ValueError: it is neither the ranking nor a table.
    """
    if shows == RANKING:
        return
    from analysis.artifact import tables

    if shows not in tables():
        raise ValueError(f"shows: {unknown('table', shows, [RANKING, *tables()])}")


def text(shows: str, folder: Folder) -> str:
    """Return the ranking or a table, of the records in an experiment's folder.

    Every record is written by then: whatever goes wrong here is told in one line.
    """
    from analysis import load, locate, summary, terminal

    try:
        records = load.load(locate.locate([folder.experiment], "", folder.root))
        if shows != RANKING:
            return terminal.table_text(shows, records)
        return f"{summary.TITLE}:\n\n{summary.text(summary.ranking(records))}"
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return f"no {shows}: {kind}{' '.join(str(error).split())}"
