"""The command `completion`: commands, keys and names completed by the tab key, in bash.

    eval "$(robust-sweep completion bash)"      # in ~/.bashrc

bash then asks `robust-sweep completion words LINE` for the words that may follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sweep.errors import UserError

# bash takes `=` for the end of a word: it asks for what comes after the last one.
SCRIPT = """\
_robust_sweep() {
    local IFS=$'\\n'
    COMPREPLY=($(robust-sweep completion words "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}
complete -o default -F _robust_sweep robust-sweep
"""
_USAGE = "robust-sweep completion bash"


def main(argv: Sequence[str]) -> int:
    """Print the script, or the words that may follow a line.

    Raises:
        UserError: neither is asked for.
    """
    given = list(argv)
    if given == ["bash"]:
        print(SCRIPT, end="")
        return 0
    if len(given) == 2 and given[0] == "words":
        print("\n".join(words(given[1])))
        return 0
    if given in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    raise UserError(f"completion {' '.join(given)!r} is unknown; usage: {_USAGE}")


def words(line: str) -> list[str]:
    """Return what the last word of a line may become, after its last `=`.

    Args:
        line: up to the cursor, the program's name first.
    """
    from robust_sweep.cli import COMMANDS

    *before, last = line.split(" ")
    said = [word for word in before if word]
    if len(said) <= 1:
        return _beginning(COMMANDS, last)
    key, equals, value = last.rpartition("=")
    if not equals:
        return _beginning(_keys(said[1]), last)
    begun, _, name = value.rpartition("[" if "," not in value else ",")
    prefix = value.removesuffix(name) if begun or value.startswith("[") else ""
    return [f"{prefix}{found}" for found in _beginning(_values(key), name)]


def _beginning(names: Iterable[str], begun: str) -> list[str]:
    return [name for name in names if name.startswith(begun)]


def _keys(command: str) -> list[str]:
    """The keys of a command, each with its `=`."""
    made = _KEYS.get(command, list)
    return [f"{key}=" for key in made()]


def _sweep_keys() -> list[str]:
    from sweep.config.compose import keys

    return ["+experiment", "ray", *keys()]


def _table_keys() -> list[str]:
    from analysis.make_tables import DEFAULTS

    return list(DEFAULTS)


def _best_keys() -> list[str]:
    from robust_sweep.best import DEFAULTS

    return list(DEFAULTS)


_KEYS: Mapping[str, Callable[[], list[str]]] = {
    **dict.fromkeys(("run", "plan", "strong"), _sweep_keys),
    "tables": _table_keys,
    "best": _best_keys,
}


def _values(key: str) -> Sequence[str]:
    """The names that may follow a key; none where it takes a number, or a text of one's own."""
    return _VALUES[key]() if key in _VALUES else []


def _experiments() -> Sequence[str]:
    from sweep.config.compose import choices

    return choices("experiment")


def _recorded() -> Sequence[str]:
    return sorted(path.parent.name for path in Path("results").glob("*/records"))


def _rays() -> Sequence[str]:
    from sweep.config.compose import choices

    return choices("ray")


def _datasets() -> Sequence[str]:
    from sweep.installation import CONF

    own = [*(CONF / "catalog").glob("*.yaml"), *Path("catalog").glob("*.yaml")]
    return sorted({path.stem for path in own})


def _defenses() -> Sequence[str]:
    from robust import defenses

    return defenses.names()


def _attacks() -> Sequence[str]:
    from robust import attacks

    return attacks.names()


_VALUES: Mapping[str, Callable[[], Sequence[str]]] = {
    "+experiment": _experiments,
    "experiment": _recorded,
    "ray": _rays,
    **dict.fromkeys(("grid.dataset", "dataset"), _datasets),
    **dict.fromkeys(("grid.defense", "defense"), _defenses),
    "evaluation.attacks": _attacks,
}
