"""The command `new`: a file of one's own, from a template that runs as it is.

    robust-sweep new defense    NAME-l1|NAME-l2|NAME-linf
    robust-sweep new attack     NAME-l1|NAME-l2|NAME-linf
    robust-sweep new table      NAME
    robust-sweep new experiment NAME

It is written where the project looks for its kind, with a test of what is particular to it, and
is found by being there: `robust-sweep plan`, `run` and `tables` know it at once.
"""

from __future__ import annotations

import keyword
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from string import Template

from sweep.errors import UserError, unknown
from sweep.files import write_text
from sweep.installation import CONF, INSTALLED, ROOT

NORMS = ("l1", "l2", "linf")
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_USAGE = "robust-sweep new defense|attack|table|experiment NAME"


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        folder: that the project searches for it.
        suffix: of its files.
        normed: whether its names end in a norm.
        tests: folder of its test, within the checkout; None where contracts test all there is.
        next: a command that uses it, with NAME for its name.
    """

    folder: Path
    suffix: str
    normed: bool
    tests: Path | None
    next: str


KINDS: Mapping[str, Kind] = {
    "defense": Kind(
        *(ROOT / "robust" / "defenses", ".py", True, ROOT / "tests" / "robust" / "defenses"),
        next="robust-sweep plan +experiment=quickstart name=NAME grid.defense=[nominal,NAME]",
    ),
    "attack": Kind(
        *(ROOT / "robust" / "attacks", ".py", True, ROOT / "tests" / "robust" / "attacks"),
        next="robust-sweep plan +experiment=quickstart name=NAME evaluation.attacks=[NAME]",
    ),
    "table": Kind(
        *(ROOT / "analysis" / "tables", ".py", False, ROOT / "tests" / "analysis"),
        next="robust-sweep tables only=NAME",
    ),
    "experiment": Kind(
        *(CONF / "experiment", ".yaml", False, None), next="robust-sweep plan +experiment=NAME"
    ),
}


def main(argv: Sequence[str]) -> int:
    """Write what the arguments ask for and print what to do next.

    Returns:
        0, or 2 where an argument is wrong or a file cannot be written.
    """
    if list(argv[:1]) in ([], ["--help"], ["-h"], ["help"]):
        print(__doc__)
        return 0
    try:
        if len(argv) != 2:
            raise UserError(f"new takes a kind and a name; usage: {_USAGE}")
        print(told(argv[0], argv[1], written(argv[0], argv[1])))
    except (UserError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def written(kind: str, name: str) -> list[Path]:
    """Write the file of that name, and its test in a checkout; return their paths.

    Raises:
        UserError: there is no such kind, the name cannot be one, or it is taken.
    """
    if kind not in KINDS:
        raise UserError(unknown("kind", kind, KINDS))
    own = KINDS[kind]
    values = values_of(kind, name)
    file = own.folder / f"{name if own.suffix == '.yaml' else values['module']}{own.suffix}"
    texts = {file: template(f"{kind}{own.suffix}.txt", values)}
    if own.tests is not None and own.tests.is_dir() and not INSTALLED:
        test = own.tests / f"test_{values['module']}.py"
        texts[test] = template(f"{kind}_test.py.txt", values)
    _check_free(kind, name, list(texts))
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def values_of(kind: str, name: str) -> dict[str, str]:
    """Return what stands in the template for each of its words.

    Raises:
        UserError: the name has characters that a file or a module cannot have, or lacks its norm.
    """
    stem, _, norm = name.rpartition("-")
    module = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(module):
        raise UserError(
            f"{name!r} is no name of {_article(kind)} {kind}: must be small letters and digits, "
            "with '-' between words, and no word of Python"
        )
    if KINDS[kind].normed and (norm not in NORMS or not stem):
        raise UserError(
            f"{name!r}: the name of {_article(kind)} {kind} ends in its norm, -l1, -l2 "
            f"or -linf, as in {name.removesuffix('-')}-linf"
        )
    words = re.split("[-_]", stem if KINDS[kind].normed else name)
    label = " ".join(words).capitalize()
    class_name = "".join(word.capitalize() for word in words)
    return {
        "name": name,
        "module": module,
        "norm": norm,
        "label": label,
        "class_name": class_name,
    }


def _article(kind: str) -> str:
    return "an" if kind[0] in "ae" else "a"


def template(file: str, values: Mapping[str, str]) -> str:
    """Return a template's text with its words replaced."""
    text = (resources("robust_sweep") / "templates" / file).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def _check_free(kind: str, name: str, paths: Sequence[Path]) -> None:
    """Refuse a name that is taken: nothing is ever written over.

    Raises:
        UserError: it is registered, or a file of it is there.
    """
    there = next((path for path in paths if path.exists()), None)
    if there is not None:
        raise UserError(f"{kind} {name!r}: {there} exists; give another name or delete it")
    if name in _known(kind):
        raise UserError(f"{kind} {name!r} is there already; give another name")


def _known(kind: str) -> Sequence[str]:
    """The names of a kind that are taken by other files."""
    from analysis import artifact  # each takes seconds to import
    from robust import attacks, defenses

    taken: dict[str, Callable[[], Sequence[str]]] = {
        "defense": defenses.names,
        "attack": attacks.names,
        "table": lambda: [*artifact.tables(), *artifact.figures()],
    }
    return taken[kind]() if kind in taken else ()


def told(kind: str, name: str, paths: Sequence[Path]) -> str:
    """Return what was written and what to do next."""
    lines = [f"written: {_near(path)}" for path in paths]
    if len(paths) > 1:
        lines.append(f"its test: python -m pytest {shlex.quote(_near(paths[1]))}")
    return "\n".join([*lines, f"next: {KINDS[kind].next.replace('NAME', name)}"])


def _near(path: Path) -> str:
    """A path as seen from here, where it lies below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
