"""The networks of recorded trials: the command `networks`.

    networks list   [experiment=NAME] [results=DIR] [dataset=NAME] [defense=NAME]
    networks export TRIAL [experiment=NAME] [results=DIR] [out=FILE]

No weights are kept beside the records: `export` trains the one network again, by the command that
asked for it (`manifest.json`), which gives the same weights on the same kind of processor; the
clean accuracy is compared with the record. The file is safetensors (`robust.networks.load`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from robust import networks
from robust.evaluate import correct
from sweep import arguments, datasets
from sweep.config import compose
from sweep.cost.calibration import Rates
from sweep.cost.device import local_device
from sweep.driver import plan
from sweep.driver.recorded import frame_of
from sweep.errors import UserError
from sweep.grid.trial import Trial
from sweep.pack import assess, train
from sweep.pack.run import Job
from sweep.results import store
from sweep.results.provenance import git_commit
from sweep.uri import redacted

COMMANDS = ("list", "export")
_DEFAULTS = {"experiment": "", "results": "results", "dataset": "", "defense": "", "out": ""}
_USAGE = (
    "robust-sweep networks list|export [TRIAL] [experiment=NAME] [results=DIR] [dataset=NAME] "
    "[defense=NAME] [out=FILE]"
)
_SHOWN = ("trial_id", "status", "dataset", "network", "defense", "grid_radius", "learning_rate",
          "batch_size", "scaling", "seed", "split_seed")  # fmt: skip
_PLAIN: dict[str, Any] = {
    "tbl_rows": -1,
    "tbl_cols": -1,
    "tbl_width_chars": 10**4,
    "fmt_str_lengths": 99,
    "tbl_formatting": "NOTHING",
    "tbl_hide_dataframe_shape": True,
    "tbl_hide_column_data_types": True,
}
_SAME = 1e-9  # accuracies that differ by less are equal


def main(argv: Sequence[str]) -> int:
    """List networks, or train one again and write it to a file."""
    try:
        command, options, words = arguments.parse(argv, COMMANDS, _DEFAULTS, _USAGE)
        if len(words) != (command == "export"):
            takes = "one trial" if command == "export" else "no trial"
            raise ValueError(f"{command} takes {takes}; usage: {_USAGE}")
        root = Path(options["results"]).absolute()
        folders = store.folders(root, options["experiment"])
        if not folders:
            raise UserError(f"no records under {root}; known: none")
        if command == "list":
            print(_listed(folders, options))
        else:
            print(_exported(folders, words[0], options["out"]))
    except (UserError, ValueError, OSError) as error:
        print(f"error: {redacted(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    return 0


def _listed(folders: Sequence[store.Folder], options: Mapping[str, str]) -> str:
    """One line per recorded trial, with its clean accuracy on test data."""
    found = []
    for folder in folders:
        for rows in map(frame_of, folder.record_files()):
            clean = rows.filter((pl.col("split") == "test") & (pl.col("attack_grid_radius") == 0))
            accuracy = clean.group_by("trial_id").agg(pl.col("accuracy").first().alias("clean"))
            found.append(rows.select(_SHOWN).unique().join(accuracy, on="trial_id", how="left"))
    trials = pl.concat(found).unique("trial_id", keep="first")
    for key in ("dataset", "defense"):
        if options[key]:
            trials = trials.filter(pl.col(key) == options[key])
    trials = trials.sort(_SHOWN[2:])
    with pl.Config(**_PLAIN):
        return f"{trials}\n{trials.height} trials"


def _exported(folders: Sequence[store.Folder], trial_id: str, out: str) -> str:
    """Train a trial's network again and write it.

    Raises:
        UserError: no record or no command knows the trial, or it is not complete.
    """
    for folder in folders:
        for rows in map(frame_of, folder.record_files()):
            own = rows.filter(pl.col("trial_id") == trial_id)
            if not own.is_empty():
                return _write(_job(folder, trial_id), own, Path(out or f"{trial_id}.safetensors"))
    raise UserError(f"trial {trial_id!r}: has no record; `networks list` shows those that have")


def _job(folder: store.Folder, trial_id: str) -> Job:
    """The pack of one trial, as the last command that asked for it would run it.

    Raises:
        UserError: no command of the manifest asks for it, in today's version of training.
    """
    manifest = json.loads(folder.manifest.read_text(encoding="utf-8"))
    for command in reversed(manifest.get("commands", [])):
        parts = compose.compose([*command["overrides"], f"paths.results={folder.root}"])
        made = plan.make_plan(parts)
        for part in made.parts:
            alone = made.alone(part, {trial_id})
            if alone.trials:
                device = local_device(part.config.ray)
                (task,) = plan.make_tasks(alone, Rates(), git_commit=git_commit(), device=device)
                return task.job
    raise UserError(
        f"trial {trial_id!r}: no command in {folder.manifest} asks for it; it was trained by "
        "another version of this program, or is simulated"
    )


def _write(job: Job, rows: pl.DataFrame, path: Path) -> str:
    """Train the network of a job, compare it with its record, and write it."""
    (status,) = rows["status"].unique().to_list()
    if status != "complete":
        raise UserError(f"trial {job.pack.first.trial_id!r}: is recorded as {status}")
    (trial,) = job.pack.trials
    data = datasets.load(trial.dataset, trial.scaling, job.settings.data, trial.split_seed)
    net = train.initial_networks(job.pack, data.info).to(job.settings.device)
    train.train_pack(net, job.pack, data, job.settings)
    networks.save(net, path, _metadata(trial))
    return f"written to {path}{_difference(job, net, data, rows)}"


def _metadata(trial: Trial) -> dict[str, str]:
    names = ("trial_id", "dataset", "dataset_hash", "scaling", "network", "defense")
    return {name: str(getattr(trial, name)) for name in names}


def _difference(
    job: Job, net: networks.AnyPack, data: datasets.Dataset, rows: pl.DataFrame
) -> str:
    """Say how the clean accuracy on test data compares with what is recorded."""
    recorded = rows.filter((pl.col("split") == "test") & (pl.col("attack_grid_radius") == 0))
    if recorded.is_empty():
        return "; the record has no clean accuracy to compare with"
    limit = job.settings.evaluation.max_samples
    chosen = assess.sample(len(data.test.y), limit, job.pack.first.dataset_hash, "test")
    x, y = (torch.from_numpy(part[chosen]) for part in (data.test.x, data.test.y))
    device = job.settings.device
    accuracy = float(correct(net, x.to(device), y.to(device)).double().mean())
    before = float(recorded["accuracy"][0])
    if abs(accuracy - before) < _SAME:
        return f"; its clean accuracy is the recorded one, {before:.4f}"
    return (
        f"; its clean accuracy is {accuracy:.4f} and {before:.4f} is recorded: another processor "
        "or version of torch trained that"
    )
