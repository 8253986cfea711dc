"""Command lines `COMMAND key=value ...`, other than a sweep's own, which Hydra reads."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence


def parse(
    argv: Sequence[str], commands: Sequence[str], defaults: Mapping[str, str], usage: str
) -> tuple[str, dict[str, str], list[str]]:
    """Return the command, the defaults with what `key=value` arguments set, and other words.

    `--key value` and `--key=value` are the same as `key=value`, for a key that there is.

    Raises:
        ValueError: no known command comes first, a key is unknown, or a word starts with a dash.
    """
    if not argv or argv[0] not in commands:
        raise ValueError(f"command {' '.join(argv[:1])!r} is unknown; usage: {usage}")
    options, words = dict(defaults), []
    for text in _without_dashes(argv[1:], defaults):
        key, equals, value = text.partition("=")
        if text.startswith("-") or (equals and key not in defaults):
            known = ", ".join(f"{name}=..." for name in defaults)
            raise ValueError(f"unknown argument {text!r}; known: {known}")
        if equals:
            options[key] = value
        else:
            words.append(text)
    return argv[0], options, words


def _without_dashes(argv: Sequence[str], known: Container[str]) -> Iterator[str]:
    """Yield arguments, those written with dashes as `key=value`."""
    left = iter(argv)
    for text in left:
        key, equals, _ = text.removeprefix("--").partition("=")
        if not text.startswith("--") or key not in known:
            yield text
        elif equals:
            yield text.removeprefix("--")
        else:
            yield f"{key}={next(left, '')}"
