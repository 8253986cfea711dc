"""What flags show of a configuration: the help, and what is composed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import get_type_hints

import yaml

from sweep.config import compose
from sweep.config.schema import SweepConfig
from sweep.errors import unknown
from sweep.installation import CONF, command_of
from sweep.uri import redacted_values

# What Hydra's users look for, and what stands here in its place.
INSTEAD: Mapping[str, str] = {
    "--multirun": "the grid replaces it: lists such as grid.seed=[0,1] are trained in packs by "
    "one sweep, and include=[A,B] runs several experiments as one",
    "--shell-completion": 'write eval "$(robust-sweep completion bash)" in its place',
}
_SHORT = {"-m": "--multirun", "-sc": "--shell-completion", "-c": "--cfg", "-h": "--help"}
_BY_HYDRA = ("--hydra-help", "--version", "--info", "--cfg")
_BESIDE = ("--package", "-p", "--resolve")
_ALLOWED = ("--help", *_BY_HYDRA, "--package", "--resolve")


def show(argv: Sequence[str]) -> None:
    """Print what the flags among the arguments ask for.

    Raises:
        ValueError: a flag is unknown, or something else does its work here.
    """
    flags = [text.split("=", 1)[0] for text in argv if text.startswith("-")]
    asked = [_SHORT.get(flag, flag) for flag in flags if flag not in _BESIDE]
    for flag in asked:
        if flag in INSTEAD:
            raise ValueError(f"{flag}: {INSTEAD[flag]}")
        if flag not in _ALLOWED:
            raise ValueError(f"{unknown('flag', flag, _ALLOWED)}")
    overrides = [text for text in argv if "=" in text and not text.startswith("-")]
    if "--help" in asked:
        print(help_text(overrides))
    elif _is_job(argv) and len(flags) == 1 and any("experiment=" in text for text in overrides):
        print("---\n".join(_as_yaml(part) for part in compose.read(overrides)), end="")
    else:
        compose.show_by_hydra(argv)


def _is_job(argv: Sequence[str]) -> bool:
    """Whether the configuration of the job is asked for, and nothing of Hydra's own."""
    words = list(argv)
    joined = [text.split("=", 1)[1] for text in words if text.startswith(("--cfg=", "-c="))]
    following = [b for a, b in zip(words, words[1:], strict=False) if a in ("--cfg", "-c")]
    return [*joined, *following] == ["job"]


def _as_yaml(part: SweepConfig) -> str:
    text: str = yaml.safe_dump(redacted_values(asdict(part)), sort_keys=False, allow_unicode=True)
    return text


def help_text(overrides: Sequence[str] = ()) -> str:
    """Return the help: how to call it, the experiments, and every key with its value.

    Args:
        overrides: of which the values follow, if an experiment is among them.
    """
    chosen = any(text.lstrip("+").startswith("experiment=") for text in overrides)
    config = compose.read(overrides)[0] if chosen else SweepConfig()
    command = command_of("sweep/run.py")
    width = max(map(len, compose.choices("experiment")))
    named = (f"  {n:{width}}  {summary_of(n)}" for n in compose.choices("experiment"))
    return "\n".join(
        [
            f"usage: {command} +experiment=NAME [key=value ...] [dry_run=true]",
            f"       {command} --cfg job +experiment=NAME [key=value ...]    # what it composes",
            "",
            "experiments (conf/experiment):",
            *named,
            "",
            f"ray={'|'.join(compose.choices('ray'))}: where packs run (conf/ray)",
            "",
            f"keys and their {'values' if chosen else 'defaults'}:",
            *_keys(config),
            "",
            "Lists are axes: every combination of grid.* is a network. One value stands for a",
            "list of one. What a key means stands beside it in sweep/config/schema.py.",
        ]
    )


def summary_of(experiment: str) -> str:
    """Return the first sentence of an experiment's file, from the comments at its head."""
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text(encoding="utf-8").splitlines()
    comments: list[str] = []
    for line in lines:
        if not line.startswith("#"):
            break
        comments.append(line.lstrip("# "))
    text = " ".join(line for line in comments if not line.startswith("@package"))
    return text.split(". ")[0].rstrip(".") + "."


def _keys(section: object, prefix: str = "") -> Iterator[str]:
    """Yield a line for every key; the sections after the keys that stand alone."""
    assert is_dataclass(section)
    hints = get_type_hints(type(section))
    nested = [item for item in fields(section) if is_dataclass(hints[item.name])]
    for item in fields(section):
        if item not in nested:
            yield f"  {prefix}{item.name}={_short(getattr(section, item.name))}"
    for item in nested:
        inner = getattr(section, item.name)
        yield f"  # {item.name}: {(type(inner).__doc__ or '').strip()}"
        yield from _keys(inner, f"{prefix}{item.name}.")


def _short(value: object) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(_short, value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) else str(redacted_values(value))
