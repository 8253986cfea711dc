"""The trials that selection on validation picks: whose networks are listed, or kept.

The analysis takes a second to import and is imported only where it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, product
from typing import TYPE_CHECKING

from sweep.errors import UserError
from sweep.results.store import Folder

if TYPE_CHECKING:
    from analysis.records import Records


def selected(folder: Folder) -> frozenset[str]:
    """Return the trials of an experiment that some table reports.

    For each data set, defense, repetition, attack and radius the first in order of ties, over all
    scalings and within each one, in every protocol.

    Raises:
        ValueError: the records cannot be analysed.
    """
    from analysis.select import selected as chosen

    found: set[str] = set()
    for records in _protocols(folder):
        ids = records.trials.select("trial", "trial_id")
        for family, within in product(("mlp", "cnn"), ((), ("scaling",))):
            picked = chosen(records, family, within).select("trial").unique()
            found.update(ids.join(picked, on="trial", how="semi")["trial_id"])
    return frozenset(found)


def _protocols(folder: Folder) -> Iterator[Records]:
    """Yield the records of every protocol, those that keep the label as a feature apart."""
    from analysis import load, locate

    source = locate.locate([folder.experiment], "", folder.root)
    for protocol in count(1):
        try:
            records = load.load(source, allow_simulated=True, protocol=protocol)
        except ValueError:
            if protocol == 1:
                raise
            return  # the last protocol was the one before
        yield records
        if records.with_label is not None:
            yield records.with_label


def pruned(folder: Folder) -> str:
    """Delete the kept networks that selection does not pick; return what there is to say.

    Those that a command with `keep.networks=all` asked for under the same name stay. Every record
    is written by then: whatever goes wrong here is told in one line.
    """
    from sweep.driver import kept
    from sweep.results import store, weights

    try:
        chosen = selected(folder)
        dropped = kept.prune(folder, chosen, but_kept=True)
        others = (store.kept_trials(folder) - chosen) & weights.find(folder.root).keys()
    except (ValueError, UserError, OSError) as error:
        return f"all networks are kept: {' '.join(str(error).split())}"
    stay = (
        f"; {len(others):,} others stay, as a command with keep.networks=all asked for them "
        f"(`robust-sweep networks prune experiment={folder.experiment}` deletes these too)"
    )
    said = f"networks: {dropped:,} that selection does not pick are deleted"
    return said + (stay if others else "")
