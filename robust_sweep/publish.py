"""The command `publish`: selected networks as models of MLflow, and the report as artifacts.

    robust-sweep publish [experiment=NAME] [results=results] [uri=sqlite:///mlflow.db] [models=200]

Whatever is there already stays; running it again does what is new. Networks come from their kept
weights: none is trained again. The report is what `robust-sweep tables` wrote.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robust_sweep import selection
from sweep import arguments
from sweep.errors import UserError
from sweep.results import store
from sweep.results.lock import locked
from sweep.tracking import detail as details
from sweep.tracking.sync import num_trials, sync
from sweep.tracking.tracker import check_uri
from sweep.uri import DATABASE, redacted

ALL, MOST_MODELS = "all", 200
_USAGE = "robust-sweep publish [experiment=NAME] [results=DIR] [uri=URI] [models=NUMBER|all]"
_DEFAULTS = {
    "experiment": "",
    "results": "results",
    "uri": f"sqlite:///{DATABASE}",
    "models": str(MOST_MODELS),
}


@dataclass(frozen=True)
class Published:
    """What came of an experiment."""

    logged: int  # models, now
    there: int  # models, in all
    selected: int
    lost: int  # selected networks without kept weights
    files: int  # of the report

    def sentence(self) -> str:
        """Return it in words."""
        lost = f", {self.lost:,} have no kept weights" if self.lost else ""
        report = f"report of {self.files} files" if self.files else "no report yet"
        return (
            f"{self.there:,} of {self.selected:,} selected networks are models "
            f"({self.logged:,} new{lost}); {report}"
        )


def main(argv: Sequence[str]) -> int:
    """Publish what the arguments name.

    Returns:
        0, or 2 where an argument or the surroundings are wrong.
    """
    if list(argv[:1]) in (["--help"], ["-h"], ["help"]):
        print(__doc__)
        return 0
    try:
        _, options, words = arguments.parse(["publish", *argv], ["publish"], _DEFAULTS, _USAGE)
        if words:
            raise ValueError(f"unknown argument {words[0]!r}; usage: {_USAGE}")
        most = _most(options["models"])
        root = Path(options["results"]).absolute()
        folders = store.folders(root, options["experiment"])
        if not folders:
            raise UserError(f"no records under {root}; run a sweep first")
        check_uri(options["uri"])
        for folder in folders:
            with locked(folder.path):
                done = publish(folder, options["uri"], most)
            print(f"{folder.experiment}: {done.sentence()}", flush=True)
    except (UserError, ValueError, OSError) as error:
        print(f"error: {redacted(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    return 0


def publish(folder: store.Folder, uri: str, most: int | None) -> Published:
    """Publish an experiment.

    Args:
        folder: of the experiment, locked.
        uri: of MLflow's store.
        most: models; None for all.
    """
    from sweep.driver import models  # torch takes seconds
    from sweep.tracking.connection import connect
    from sweep.tracking.models import log_report

    run_log = connect(uri, folder.experiment, folder.root)
    detail = details.decide(details.AUTO, num_trials(folder))
    sync(run_log, folder, detail)
    selected = selection.selected(folder)
    kept = models.with_weights(folder, selected)
    wanted = dict(list(kept.items())[:most])
    new = models.log(run_log, folder, wanted)
    tables = folder.path / "tables"
    files = sum(path.is_file() for path in tables.iterdir()) if tables.is_dir() else 0
    if files:
        run_log.describe(detail, log_report(run_log, folder.experiment, tables))
    return Published(new, len(wanted), len(selected), len(selected) - len(kept), files)


def _most(text: str) -> int | None:
    if text == ALL:
        return None
    if not text.isdecimal():
        raise ValueError(f"models={text}: must be a number of networks, or {ALL}")
    return int(text)
