"""Command lines `COMMAND key=value ...`, other than a sweep's own, which Hydra reads."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence


def parse(
    argv: Sequence[str], commands: Sequence[str], defaults: Mapping[str, str], usage: str
) -> tuple[str, dict[str, str], list[str]]:
    """Return the command, the defaults with what `key=value` arguments set, and other words.

    `--key value` and `--key=value` are the same, and `--missing-target` is `missing_target`.

    Raises:
        ValueError: no known command comes first, a key is unknown, or has no value.
    """
    if not argv or argv[0] not in commands:
        raise ValueError(f"command {' '.join(argv[:1])!r} is unknown; usage: {usage}")
    options, words = dict(defaults), []
    left = iter(argv[1:])
    for text in left:
        key, equals, value = _split(text)
        if (text.startswith("-") or equals) and key not in defaults:
            known = ", ".join(f"{name}=..." for name in defaults)
            close = difflib.get_close_matches(key, defaults, n=1)
            hint = f" (did you mean {close[0]}=...?)" if close else ""
            raise ValueError(f"unknown argument {text!r}{hint}; known: {known}")
        if text.startswith("--") and not equals:
            given = next(left, None)
            if given is None:
                raise ValueError(f"{text}: has no value; write {key}=value")
            options[key] = given
        elif equals:
            options[key] = value
        else:
            words.append(text)
    return argv[0], options, words


def _split(text: str) -> tuple[str, str, str]:
    """Return the key, its equals sign if there is one, and the value."""
    key, equals, value = text.partition("=")
    return (key[2:].replace("-", "_") if key.startswith("--") else key), equals, value
