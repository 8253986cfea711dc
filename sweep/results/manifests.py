"""The manifest of an experiment: every grid that commands asked for under its name.

JSON, sealed by a digest (`checksum`). Tables show what it names, and restoring a network whose
weights are gone takes the command that asked for it from here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from sweep import files, output
from sweep.results import checksum
from sweep.results.schema import NUMERICS_VERSION
from sweep.results.store import Folder


def write(
    folder: Folder,
    *,
    config: Mapping[str, object],
    git_commit: str,
    trial_ids: Iterable[str],
    data_hashes: Mapping[str, str],
    pixel_scales: Mapping[str, float],
    overrides: Sequence[str],
    labels: Mapping[str, str] = MappingProxyType({}),
    kept_trial_ids: Iterable[str] = (),
) -> None:
    """Write down what this command asks for, beside what others asked for under this name.

    Trials of another version of training and evaluation are kept apart: they are not comparable.

    Args:
        trial_ids: of this command's grid; the manifest has those of all.
        pixel_scales: image set -> mean deviation of a standardised image, in pixels from 0 to 1.
        overrides: the arguments of sweep/run.py, which complete what is missing when given again.
        labels: what defenses and attacks are called in print, by name.
        kept_trial_ids: those whose networks this command keeps whatever selection picks.
    """
    before, asked = _read(folder.manifest), list(trial_ids)
    same = before.get("numerics_version") == NUMERICS_VERSION
    known, older = _texts(before, "trial_ids"), _texts(before, "older_trial_ids")
    ids = list(dict.fromkeys([*(known if same else ()), *asked]))
    kept = _kept(before).union(kept_trial_ids)
    command = {
        "overrides": list(overrides),
        "git_commit": git_commit,
        "created": datetime.now().astimezone().isoformat(timespec="seconds"),
        "num_trials": len(asked),
        "numerics_version": NUMERICS_VERSION,
    }
    manifest = {
        "experiment": folder.experiment,
        "config": config,
        "git_commit": git_commit,
        "created": command["created"],
        "numerics_version": NUMERICS_VERSION,
        "num_trials": len(ids),
        "trial_ids": ids,
        "older_trial_ids": list(dict.fromkeys([*older, *(() if same else known)])),
        "only_selected_trial_ids": [trial for trial in ids if trial not in kept],
        "data_hashes": {**_mapping(before, "data_hashes"), **data_hashes},
        "pixel_scales": {**_mapping(before, "pixel_scales"), **pixel_scales},
        "overrides": list(overrides),
        "labels": {**_mapping(before, "labels"), **labels},
        "commands": [*_other_commands(before, command), command],
    }
    files.write_text(folder.manifest, checksum.sealed_json(manifest))


def kept_trials(folder: Folder) -> frozenset[str]:
    """The trials whose networks some command keeps whatever selection picks.

    A manifest that cannot be read names none.
    """
    return _kept(_content(folder))


def asked_trials(folder: Folder) -> frozenset[str]:
    """The trials that any command asked for, of older versions too.

    A manifest that cannot be read names none.
    """
    manifest = _content(folder)
    return frozenset(_texts(manifest, "trial_ids") + _texts(manifest, "older_trial_ids"))


def _content(folder: Folder) -> Mapping[str, object]:
    """What a manifest says; nothing where it cannot be read."""
    try:
        manifest = json.loads(folder.manifest.read_bytes())
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _kept(manifest: Mapping[str, object]) -> frozenset[str]:
    """The trials that a manifest keeps; an older one tells what its last command kept."""
    asked = _texts(manifest, "trial_ids")
    if "only_selected_trial_ids" in manifest:
        return frozenset(asked) - frozenset(_texts(manifest, "only_selected_trial_ids"))
    config = _mapping(manifest, "config")
    found = config.get("parts")
    parts = found if isinstance(found, list) else [config]
    kept = [_mapping(part, "keep").get("networks") for part in parts if isinstance(part, dict)]
    return frozenset(asked) if "all" in kept else frozenset()


def _read(path: Path) -> Mapping[str, object]:
    """The manifest that is there; a damaged one is set aside."""
    try:
        manifest = json.loads(path.read_bytes()) if path.is_file() else {}
        if not isinstance(manifest, dict):
            problem = "it is no mapping"
        elif (damage := checksum.damage_of_json(manifest)) is None:
            return manifest
        else:
            problem = damage
    except ValueError as error:
        problem = str(error)
    output.warn(
        f"{path}: is damaged ({problem}) and is kept as {files.set_aside(path).name}; tables show "
        "what is asked for from now on"
    )
    return {}


def _texts(manifest: Mapping[str, object], key: str) -> list[str]:
    values = manifest.get(key)
    return [str(value) for value in values] if isinstance(values, list) else []


def _mapping(manifest: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _other_commands(
    before: Mapping[str, object], command: Mapping[str, object]
) -> list[Mapping[str, object]]:
    """The commands of before, without earlier times of this one."""
    commands = before.get("commands")
    if not isinstance(commands, list):  # of a version that kept the last command only
        alone = {key: before[key] for key in command if key in before}
        commands = [alone] if alone else []
    same = ("overrides", "numerics_version")
    return [
        other
        for other in commands
        if isinstance(other, dict) and any(other.get(key) != command[key] for key in same)
    ]
