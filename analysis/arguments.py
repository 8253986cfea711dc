"""Command lines of the form key=value, as the sweep's own."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence


def parse(
    argv: Sequence[str],
    defaults: Mapping[str, str],
    choices: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, str]:
    """Return the defaults overridden by `key=value` arguments.

    A key given twice collects its values, separated by commas.

    Raises:
        ValueError: an unknown key, or a value outside its choices.
    """
    given: dict[str, str] = {}
    for argument in argv:
        key, equals, value = argument.lstrip("+-").partition("=")
        if not equals or key not in defaults:
            allowed = ", ".join(f"{name}=..." for name in defaults)
            close = difflib.get_close_matches(key, defaults, n=1)
            hint = f" (did you mean {close[0]}=...?)" if close else ""
            raise ValueError(f"unknown argument {argument!r}{hint}; allowed: {allowed}")
        given[key] = f"{given[key]},{value}" if key in given else value
    for key, allowed_values in (choices or {}).items():
        if key in given and given[key] not in allowed_values:
            raise ValueError(f"{key}={given[key]!r} is unknown; allowed: {_join(allowed_values)}")
    return {**defaults, **given}


def split(value: str) -> tuple[str, ...]:
    """Return the comma-separated parts of a value, brackets allowed: `[a, b]` or `a,b`."""
    return tuple(part.strip() for part in value.strip("[]").split(",") if part.strip())


def _join(values: Sequence[str]) -> str:
    return ", ".join(values)
