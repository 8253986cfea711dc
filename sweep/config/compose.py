"""From the command line to checked configurations, with errors in one line."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, get_type_hints

import hydra
import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweep.config.schema import Grid, SweepConfig, debugged, in_balls
from sweep.errors import unknown
from sweep.files import reading_yaml
from sweep.installation import CONF, command_of
from sweep.uri import redacted_uri

_EXPERIMENT = "experiment"
_NOISE = ("object_type", "full_key", "reference_type")
_GROUPS = (_EXPERIMENT, "ray")
# Hydra's own keys, and what does here what they would do.
_HYDRAS = {
    **dict.fromkeys(("run", "sweep"), "paths.results=DIR says where results go"),
    **dict.fromkeys(
        ("verbose", "job_logging", "hydra_logging"),
        "tracebacks of what failed are in the folder logs of the results",
    ),
    **dict.fromkeys(("launcher",), "ray=local and ray=cluster say where packs run"),
    **dict.fromkeys(("sweeper", "mode"), "the lists of the grid are the sweep"),
}


def register() -> None:
    """Tell Hydra the schema."""
    ConfigStore.instance().store(name="schema", node=SweepConfig)


def choices(group: str) -> tuple[str, ...]:
    """The files of a config group."""
    return tuple(sorted(path.stem for path in (CONF / group).glob("*.yaml")))


def compose(argv: Sequence[str]) -> list[SweepConfig]:
    """Compose and check what the command line asks for: `read`, then `check`."""
    parts = read(argv)
    check(parts)
    return parts


def check(parts: Sequence[SweepConfig]) -> None:
    """Refuse values that make no sense.

    Raises:
        ValueError: one line naming the key, the value and what is allowed.
    """
    # Imports every defense and attack, and with them PyTorch: `read` does without.
    from sweep.config import checks

    for part in parts:
        checks.check(part)


def read(argv: Sequence[str]) -> list[SweepConfig]:
    """Compose what the command line asks for, its keys and types checked but not its values.

    Args:
        argv: Hydra overrides; one of them is +experiment=NAME.

    Returns:
        One configuration, or one per included experiment, all with the sweep's name.

    Raises:
        ValueError: one line naming what is wrong, its value and what is allowed.
    """
    overrides = [_checked(text) for text in argv]
    experiments = [o for o in overrides if o.startswith(f"+{_EXPERIMENT}=")]
    rest = [o for o in overrides if o not in experiments]
    if len(experiments) != 1:
        raise ValueError(
            f"give one experiment, as in `{command_of('sweep/run.py')} +experiment=quickstart` "
            f"(got {len(experiments)}); known: {', '.join(choices(_EXPERIMENT))}"
        )
    name = experiments[0].split("=", 1)[1]
    whole = _compose_one(name, rest)
    repeated = [part for part in whole.include if whole.include.count(part) > 1]
    if repeated:
        raise ValueError(f"include: {repeated[0]!r} is given twice; each may occur once")
    sweep_name = whole.name if whole.name is not None else name
    for included in whole.include:
        _check_choice(_EXPERIMENT, included)
    own = [override for override in rest if not override.startswith("include=")]
    parts = [_compose_one(part, own) for part in whole.include] if whole.include else [whole]
    for part, config in zip(whole.include, parts, strict=False):
        if config.include:
            raise ValueError(
                f"include: experiment {part!r} includes others itself; "
                f"name those: {', '.join(config.include)}"
            )
    named = [
        replace(
            part,
            name=sweep_name,
            include=[],
            grid=_with_named_defenses(part.grid),
            evaluation=in_balls(part.evaluation, part.grid),
        )
        for part in parts
    ]
    return [debugged(part) if part.debug else part for part in named]


def _compose_one(experiment: str, overrides: Sequence[str]) -> SweepConfig:
    register()
    chosen = (CONF / "config.yaml", CONF / _EXPERIMENT / f"{experiment}.yaml")
    for path in (*chosen, *sorted((CONF / "ray").glob("*.yaml"))):
        _check_readable(path)
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            node = hydra_compose("config", [f"+{_EXPERIMENT}={experiment}", *overrides])
        config: Any = OmegaConf.to_object(node)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_one_line(error)) from None
    assert isinstance(config, SweepConfig)
    _check_members(config)
    return config


def _with_named_defenses(grid: Grid) -> Grid:
    """Return the grid with a name for every defense that its entries stand for."""
    names = [name for entry in grid.defense for name in _defense_names(entry)]
    return replace(grid, defense=names)


def _defense_names(entry: object) -> list[str]:
    """Return the names that an entry of grid.defense stands for, one per point of its values.

    Raises:
        ValueError: it is neither a name nor a mapping with a name.
    """
    if isinstance(entry, str):
        return [entry]
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ValueError(
            f"grid.defense: {entry!r} must be a name, or a mapping as in "
            "{name: trades-linf, beta: [1, 6]}"
        )
    axes = {
        key: values if isinstance(values, list) else [values]
        for key, values in entry.items()
        if key != "name"
    }
    points = product(*axes.values())
    given = (",".join(f"{k}={v}" for k, v in zip(axes, point, strict=True)) for point in points)
    return [f"{entry['name']}({values})" if values else entry["name"] for values in given]


_MEMBERS = {"list[str]": str, "list[int]": int, "list[float]": float}


def _check_members(section: Any, prefix: str = "") -> None:
    """Refuse lists of lists and of mappings, which OmegaConf lets pass.

    Raises:
        ValueError: a member of a list is not of the list's type.
    """
    for item in fields(section):
        value = getattr(section, item.name)
        if is_dataclass(value):
            _check_members(value, f"{prefix}{item.name}.")
        elif str(item.type) in _MEMBERS:
            wrong = [v for v in value if type(v) is not _MEMBERS[str(item.type)]]
            if wrong:
                raise ValueError(f"{prefix}{item.name}: {wrong[0]!r} must be a single value")


def _check_readable(path: Path) -> None:
    """Refuse a file of which Hydra would not say which it is, or where.

    Raises:
        ValueError: the file cannot be read, is no text or no YAML, or holds no keys.
    """
    try:
        with reading_yaml(path):
            text = path.read_text(encoding="utf-8")
            found = yaml.safe_load(text)
            if isinstance(found, dict):
                OmegaConf.create(text)  # which also refuses a key that is given twice
    except OmegaConfBaseException as error:
        raise ValueError(f"{path}: {_one_line(error)}") from None
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"{path}: must hold keys and values, got {type(found).__name__}")


def _one_line(error: Exception) -> str:
    """Hydra's message without line breaks, and without what only Hydra's developers need."""
    text = f"{error}\n{error.__cause__ or ''}"
    lines = dict.fromkeys(line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not line.startswith(_NOISE))


def _checked(text: str) -> str:
    """Check one override's key; let a single value stand for a list of one.

    Raises:
        ValueError: no override, an unknown key or choice, or a deletion.
    """
    shown = redacted_uri(text)
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        raise ValueError(
            f"{shown!r} is no override; write key=value, as in grid.dataset=[iris,wine]"
        ) from None
    key = override.key_or_group
    if override.is_delete():
        raise ValueError(f"{shown!r}: a key cannot be deleted; give it another value")
    if "=" not in text:
        raise ValueError(f"{shown!r}: has no value; write {key}=value")
    value = text.split("=", 1)[1]
    if key in _GROUPS:
        _check_choice(key, value)
        return f"+{key}={value}" if key == _EXPERIMENT else f"{key}={value}"
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        raise ValueError(
            f"{shown!r}: Hydra composes the configuration and runs nothing; {_of(key)}"
        )
    if _is_list(key):
        return f"{key}={value if value.startswith('[') else f'[{value}]'}"
    _check_single(override, shown)
    return f"{key}={value}"


def _of(key: str) -> str:
    """What stands in for one of Hydra's own keys."""
    part = key.replace("/", ".").split(".")[1:2]
    return _HYDRAS.get(part[0] if part else "", "its own keys would do nothing")


def _check_single(override: Override, text: str) -> None:
    if override.is_sweep_override():
        raise ValueError(f"{text!r}: takes one value; only lists such as grid.seed take several")


def _check_choice(group: str, value: str) -> None:
    if value not in choices(group):
        raise ValueError(f"{group}={value}: {unknown(group, value, choices(group))}")


def keys(section: type = SweepConfig, prefix: str = "") -> dict[str, type]:
    """Every key that can be set, in full, with its type."""
    found: dict[str, type] = {}
    hints = get_type_hints(section)
    for item in fields(section):
        kind = hints[item.name]
        if is_dataclass(kind):
            assert isinstance(kind, type)
            found |= keys(kind, f"{prefix}{item.name}.")
        else:
            found[f"{prefix}{item.name}"] = kind
    return found


def _is_list(key: str) -> bool:
    """Whether a key holds a list.

    Raises:
        ValueError: the key is unknown.
    """
    known = keys()
    if key in known:
        return str(known[key]).startswith("list")
    section = key.rsplit(".", 1)[0] + "."
    if any(name.startswith(f"{key}.") for name in known):
        section = f"{key}."
    siblings = [name for name in known if name.startswith(section)] or list(known)
    same_name = [name for name in known if name.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    close = same_name or difflib.get_close_matches(key, [*_GROUPS, *known], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(f"unknown key {key!r}{hint}; known: {', '.join(siblings)}")


def show_by_hydra(argv: Sequence[str]) -> None:
    """Let Hydra answer --hydra-help, --info, --version and --cfg."""
    register()
    before = sys.argv
    sys.argv = [before[0], *map(redacted_uri, argv)]  # Hydra prints what it is given
    try:
        hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(_no_job)()
    finally:
        sys.argv = before


def _no_job(config: DictConfig) -> None:
    """Hydra calls this only if no flag asked for something to be shown."""
    raise ValueError("flags only show the configuration; leave them out to run the sweep")
