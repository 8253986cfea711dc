"""The commands that made an experiment's records, and complete them when given again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from sweep import installation
from sweep.installation import command_of

RUN, STRONG = "sweep/run.py", "sweep/strong.py"
CONF = installation.CONF / "experiment"


def commands(
    name: str, manifests: Sequence[Mapping[str, object]] = (), script: str = RUN
) -> list[str]:
    """Return what runs a script on the experiments of some records.

    Manifests keep the arguments of the sweep. Where there is none, the experiment is known by
    its name, which is that of a file in `conf/experiment` unless `name=` gave it another.

    Args:
        name: the experiments' names, joined by `+`.
        manifests: theirs, if there are any.
        script: what is to run.
    """
    if not manifests:
        return [_command(script, part, None) for part in name.split("+")]
    return [
        _command(script, str(manifest.get("experiment")), overrides)
        for manifest in manifests
        for overrides in _overrides(manifest)
    ]


def _overrides(manifest: Mapping[str, object]) -> list[object]:
    """Return the arguments of each command of a manifest whose trials count."""
    kept, version = manifest.get("commands"), manifest.get("numerics_version")
    if not isinstance(kept, list) or not kept:
        return [manifest.get("overrides")]
    return [c.get("overrides") for c in kept if c.get("numerics_version") == version]


def _command(script: str, experiment: str, overrides: object) -> str:
    if isinstance(overrides, list) and overrides:
        return f"{command_of(script)} {shlex.join(map(str, overrides))}"
    if (CONF / f"{experiment}.yaml").is_file():
        return f"{command_of(script)} +experiment={experiment}"
    return f"{command_of(script)} +experiment=... name={experiment}"


def quoted(found: Sequence[str]) -> str:
    """Return commands as part of a sentence."""
    return " and ".join(f"`{command}`" for command in found)
