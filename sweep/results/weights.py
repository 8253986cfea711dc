"""Weights of trained networks: where they lie, and which trials they are of.

results/<experiment>/networks/<pack_id>.safetensors   parameters with the leading P

The header names the architecture (`robust.networks.files`), the trials in the order of P, the
version of numerics that trained them, and a checksum of all bytes (`tensor_file`). A file is
renamed into place before the records that speak of it; what it holds is told by its header alone,
never by its name. A damaged one is named, set aside as `*.damaged`, and counts as missing.

Legend: P networks in the pack.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from robust import networks
from robust.networks import AnyPack
from robust.networks import files as network_files
from robust.networks.join import join
from sweep import files, output
from sweep.errors import DamagedError, MissingWeightsError
from sweep.results import tensor_file
from sweep.results.schema import NUMERICS_VERSION
from sweep.results.store import Folder

SUFFIX = ".safetensors"
_TRIALS = "trial_ids"
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Location:
    """Where the weights of a trial lie: a file, and the network's number in its pack."""

    path: Path
    index: int


Index = Mapping[str, Location]  # trial id -> where its weights lie


def path_of(folder: Folder, pack_id: str) -> Path:
    """The weights of a pack."""
    return folder.path / "networks" / f"{pack_id}{SUFFIX}"


def files_of(folder: Folder) -> list[Path]:
    """The weights of all packs of an experiment, in a fixed order."""
    return sorted(path_of(folder, "x").parent.glob(f"[!.]*{SUFFIX}"))


def write(
    folder: Folder,
    pack_id: str,
    net: AnyPack,
    trial_ids: Sequence[str],
    metadata: Mapping[str, str] = _NOTHING,
) -> Path:
    """Write the weights of a pack, atomically; return the file.

    Args:
        folder: of the experiment.
        pack_id: names the file.
        net: P trained networks.
        trial_ids: of each network, P of them.
        metadata: further text for the header.

    Raises:
        ValueError: another number of trials than of networks, or a kind that cannot be kept.
        OSError: the file cannot be written.
    """
    if len(trial_ids) != net.num_networks:
        raise ValueError(f"{len(trial_ids)} trial ids for {net.num_networks} networks")
    texts = {
        **metadata,
        _TRIALS: json.dumps(list(trial_ids)),
        "numerics_version": str(NUMERICS_VERSION),
        tensor_file.KEY: tensor_file.BLANK,
    }
    path = path_of(folder, pack_id)
    with files.atomic(path) as temporary:
        network_files.write(net, temporary, texts)
        tensor_file.seal(temporary)
    return path


def find(root: Path) -> dict[str, Location]:
    """Return where the weights of every trial of every experiment lie, from headers alone.

    A file whose header cannot be read is left out, and named once. Where several files hold a
    trial, the one whose name comes first counts.

    Args:
        root: the folder of all experiments' results.
    """
    return _located(sorted(root.glob(f"*/networks/[!.]*{SUFFIX}")))


def load(where: Path | Index, trial_ids: Sequence[str]) -> AnyPack:
    """Read trained networks as one pack, in the order asked for, on the CPU.

    All bytes of the files are compared with their checksums. A damaged file is set aside.

    Args:
        where: the folder of all experiments' results, or what `find` returned of it.
        trial_ids: at least one; of networks of one architecture.

    Returns:
        The pack, P = len(trial_ids).

    Raises:
        MissingWeightsError: weights are not there or were damaged; it names the trials.
        ValueError: the networks are not of one architecture, or none is asked for.
    """
    index = find(where) if isinstance(where, Path) else where
    asked: dict[Path, list[str]] = {}
    for trial in trial_ids:
        if trial in index:
            asked.setdefault(index[trial].path, []).append(trial)
    parts, order = [], list[str]()
    for path, own in asked.items():
        there = _sound_trials_and_pack(path)
        if there is not None:
            trials, pack = there
            found = [trial for trial in own if trial in trials]  # the file may have changed since
            parts += [pack.subset([trials.index(trial) for trial in found])] if found else []
            order += found
    missing = sorted(set(trial_ids) - set(order), key=list(trial_ids).index)
    if missing:
        raise MissingWeightsError(missing)
    whole = join(parts)
    if order == list(trial_ids):
        return whole
    return whole.subset([order.index(trial) for trial in trial_ids])


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts of a file's header.

    Raises:
        DamagedError: it has none; only damage to the header is found here.
    """
    try:
        return tensor_file.metadata(path)
    except ValueError as error:
        raise DamagedError(f"{path}: is damaged ({error})") from None


def trials_of(path: Path) -> list[str]:
    """Return the trials of a file, in the order of its networks.

    Raises:
        DamagedError: its header does not tell.
        FileNotFoundError: it is not there.
    """
    try:
        found = json.loads(read_metadata(path)[_TRIALS])
    except (ValueError, KeyError):
        found = None
    if not isinstance(found, list) or not all(isinstance(trial, str) for trial in found):
        raise DamagedError(f"{path}: is damaged (its header names no trials)")
    return found


def check(path: Path) -> None:
    """Read a whole file and compare its checksum.

    Raises:
        DamagedError: it is no longer what was written.
        FileNotFoundError: it is not there.
    """
    reason = tensor_file.damage(path)
    if reason is not None:
        raise DamagedError(f"{path}: is damaged ({reason})")


def prune(folder: Folder, wanted: Container[str]) -> int:
    """Keep the weights of some trials of an experiment, each once, and delete the others.

    The caller holds the experiment's lock. A file of which some are kept is written anew, and what
    killed processes left half-written is deleted.

    Args:
        wanted: the trials to keep.

    Returns:
        How many networks were deleted.
    """
    dropped = 0
    seen: set[str] = set()
    for half in path_of(folder, "x").parent.glob(".*"):  # ours, and those of safetensors itself
        half.unlink(missing_ok=True)
    for path in files_of(folder):
        try:
            there = trials_of(path)
            kept = [trial for trial in there if trial in wanted and trial not in seen]
            if kept and len(kept) < len(there):
                check(path)
                part = networks.load(path).subset([there.index(trial) for trial in kept])
                write(folder, path.name.removesuffix(SUFFIX), part, kept, _own(path))
        except DamagedError as error:
            _set_aside(path, error)
            continue
        if not kept:
            path.unlink(missing_ok=True)
        dropped += len(there) - len(kept)
        seen.update(kept)
    return dropped


def _own(path: Path) -> dict[str, str]:
    """The texts of a header that neither this module nor `robust.networks.files` writes."""
    ours = {*network_files.KEYS, _TRIALS, "numerics_version", tensor_file.KEY}
    return {key: text for key, text in read_metadata(path).items() if key not in ours}


def _located(paths: Iterable[Path]) -> dict[str, Location]:
    paths = list(paths)
    found: dict[str, Location] = {}
    with ThreadPoolExecutor(max_workers=4) as pool:
        for path, trials in zip(paths, pool.map(_sound_trials, paths), strict=True):
            for index, trial in enumerate(trials):
                found.setdefault(trial, Location(path, index))
    return found


def _sound_trials(path: Path) -> list[str]:
    try:
        return trials_of(path)
    except FileNotFoundError:  # another experiment's driver has just tidied up
        return []
    except DamagedError as error:
        output.warn_once(f"{error}; what it held counts as not kept")
        return []


def _sound_trials_and_pack(path: Path) -> tuple[list[str], AnyPack] | None:
    """What a file holds; None where it is gone or damaged."""
    try:
        check(path)
        return trials_of(path), networks.load(path)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        _set_aside(path, error)
        return None
    except ValueError:  # of `networks.load`, which reads the file again
        if path.exists():
            raise
        return None


def _set_aside(path: Path, error: DamagedError) -> None:
    kept = files.set_aside(path)
    output.warn(f"{error}; it is kept as {kept.name}, and its networks count as missing")
