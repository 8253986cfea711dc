"""The weights of a pack, kept beside its records before these are written."""

from __future__ import annotations

from collections.abc import Sequence

from robust.networks import AnyPack
from robust.predictor import PREPROCESSING
from sweep.datasets import DataOptions
from sweep.datasets.preprocessing import preprocessing
from sweep.grid.packing import Pack
from sweep.results import weights
from sweep.results.store import Folder


class UnwrittenWeightsError(OSError):
    """The weights of trained networks cannot be written, so that no record may be."""


def keep(
    net: AnyPack,
    pack: Pack,
    diverged_step: Sequence[int | None],
    folder: Folder,
    options: DataOptions,
) -> None:
    """Write the networks that did not diverge, with the scaling of their inputs.

    Args:
        net: P trained networks.
        pack: their trials.
        diverged_step: of each; None where it did not diverge.
        folder: of the experiment.
        options: that the data set was loaded with.

    Raises:
        UnwrittenWeightsError: the file cannot be written.
    """
    sound = [p for p, step in enumerate(diverged_step) if step is None]
    if not sound:
        return
    kept = net if len(sound) == len(pack) else net.subset(sound)
    trial_ids = [pack.trials[p].trial_id for p in sound]
    try:
        weights.write(folder, pack.pack_id, kept, trial_ids, metadata_of(pack, options))
    except OSError as error:
        raise UnwrittenWeightsError(f"weights: {error.strerror or error}") from error


def metadata_of(pack: Pack, options: DataOptions) -> dict[str, str]:
    """What the header of a pack's weights says of its data."""
    first = pack.first
    rule = preprocessing(first.dataset, first.scaling, options, first.split_seed)
    names = ("dataset", "dataset_hash", "scaling", "network")
    return {name: str(getattr(first, name)) for name in names} | {PREPROCESSING: rule.to_text()}
