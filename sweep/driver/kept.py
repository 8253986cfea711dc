"""Networks of recorded trials: from their kept weights, or trained again where these are gone."""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass

import polars as pl
import torch

from robust.evaluate import correct
from robust.networks import AnyPack
from robust.networks.join import join
from robust.predictor import PREPROCESSING
from robust.preprocessing import Preprocessing
from sweep import datasets
from sweep.config import compose
from sweep.cost.calibration import Rates
from sweep.cost.device import local_device
from sweep.datasets import Dataset
from sweep.driver import plan
from sweep.driver.recorded import rows_of
from sweep.errors import MissingWeightsError, UserError
from sweep.grid.packing import Pack
from sweep.pack import assess, keep, train
from sweep.pack.run import Job
from sweep.results import manifests, store, weights
from sweep.results.lock import locked
from sweep.results.provenance import git_commit

_SAME = 1e-9  # accuracies that differ by less are equal


@dataclass(frozen=True)
class Restored:
    """The network of one recorded trial.

    Attributes:
        net: a pack of one.
        preprocessing: from raw features to its inputs.
        rows: its records.
        metadata: what a file of it says of trial and data.
        source: where it comes from, as the end of a sentence.
    """

    net: AnyPack
    preprocessing: Preprocessing
    rows: pl.DataFrame
    metadata: dict[str, str]
    source: str


def networks_of(job: Job, data: Dataset, index: weights.Index) -> AnyPack:
    """Return the networks of a job's trials, on its device; those that are not kept are trained.

    Args:
        job: trials that were trained before.
        data: their data set.
        index: of `weights.find`.
    """
    pack, device = job.pack, job.settings.device
    ids = [trial.trial_id for trial in pack.trials]
    try:
        return weights.load(index, ids).to(device)
    except MissingWeightsError as error:
        missing = set(error.trial_ids)
    lost = Pack(tuple(trial for trial in pack.trials if trial.trial_id in missing))
    trained = train.initial_networks(lost, data.info).to(device)
    train.train_pack(trained, lost, data, job.settings)
    there = [trial for trial in ids if trial not in missing]
    if not there:
        return trained
    whole = join([weights.load(index, there).to(device), trained])
    order = [*there, *(trial.trial_id for trial in lost.trials)]
    return whole.subset([order.index(trial) for trial in ids])


def restore(folders: Sequence[store.Folder], trial_id: str) -> Restored:
    """Return the network of a recorded trial.

    Raises:
        UserError: the trial has no record, or no network; or its weights are gone and no command
            of a manifest asks for it.
    """
    folder, rows = rows_of(folders, trial_id)
    (status,) = rows["status"].unique().to_list()
    if status != "complete":
        raise UserError(f"trial {trial_id!r}: is recorded as {status}")
    index = weights.find(folder.root)
    try:
        net = weights.load(index, [trial_id])
    except MissingWeightsError:
        return _trained_again(folder, trial_id, rows)
    texts = weights.read_metadata(index[trial_id].path)
    named = {key: texts[key] for key in ("dataset", "dataset_hash", "scaling", "network")}
    rule = Preprocessing.from_text(texts[PREPROCESSING])
    return Restored(net, rule, rows, named | _identity(rows), "from its kept weights")


def prune(folder: store.Folder, selected: Container[str], *, but_kept: bool = False) -> int:
    """Delete the kept networks of an experiment that selection does not pick.

    Those that another experiment's manifest asks for as well stay.

    Args:
        folder: of the experiment.
        selected: the trials that selection picks.
        but_kept: leave those too that a command with `keep.networks=all` asked for.

    Returns:
        How many networks were deleted.

    Raises:
        LockedError: a sweep works on the experiment.
    """
    shared = {
        trial
        for other in store.folders(folder.root)
        if other.experiment != folder.experiment
        for trial in manifests.asked_trials(other)
    }
    with locked(folder.path):
        asked = manifests.kept_trials(folder) if but_kept else frozenset[str]()
        kept = {
            trial
            for trial in weights.find(folder.root)
            if trial in selected or trial in shared or trial in asked
        }
        return weights.prune(folder, kept)


def _identity(rows: pl.DataFrame) -> dict[str, str]:
    first = rows.row(0, named=True)
    return {name: str(first[name]) for name in ("trial_id", "defense", "train_radius")}


def _trained_again(folder: store.Folder, trial_id: str, rows: pl.DataFrame) -> Restored:
    """Train the network as the last command that asked for it would, and compare accuracies."""
    job = _job(folder, trial_id)
    first, options = job.pack.first, job.settings.data
    data = datasets.load(first.dataset, first.scaling, options, first.split_seed)
    net = networks_of(job, data, {})
    texts = keep.metadata_of(job.pack, options)
    rule = Preprocessing.from_text(texts.pop(PREPROCESSING))
    source = f"trained again, as its weights are gone{_difference(job, net, data, rows)}"
    return Restored(net.cpu(), rule, rows, texts | _identity(rows), source)


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
        f"trial {trial_id!r}: its weights are gone, and no command in {folder.manifest} asks for "
        "it; it was trained by another version of this program, or is simulated"
    )


def _difference(job: Job, net: AnyPack, data: Dataset, rows: pl.DataFrame) -> str:
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
