"""What a module's source does, apart from how it is written, and which modules it imports.

The canonical form of a source is its sequence of tokens without comments, documentation and blank
lines: `ast.dump` and `ast.unparse` differ between versions of Python, tokens do not, once the
parts into which Python 3.12 and later cut an f-string are put together again.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

_SILENT = (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER)
_ENDS = (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
Place = tuple[int, int]  # line from 1, character from 0


def canonical(text: str) -> str:
    """Return the tokens of a source, a logical line each; indentation is a mark of its own.

    Raises:
        SyntaxError: it is no Python.
        tokenize.TokenError: a bracket or a text is left open.
    """
    lines: list[str] = []
    line: list[str] = []
    for kind, word in _tokens(text):
        if kind not in _ENDS:
            line.append(word)
            continue
        if line and not _is_documentation(line):
            lines.append(" ".join(line))
        line = []
        if kind != tokenize.NEWLINE:
            lines.append(tokenize.tok_name[kind])
    return "\n".join(lines)


def _is_documentation(line: Iterable[str]) -> bool:
    """Whether a logical line is nothing but a text, which does nothing wherever it stands."""
    return all(word.lstrip("rRuU")[:1] in ("'", '"') for word in line)


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """Yield the kind and the text of each token; an f-string is one token in every Python."""
    rows = text.splitlines(keepends=True)
    depth, start = 0, (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            start = start if depth else token.start
            depth += 1
        elif name.endswith("STRING_END"):
            depth -= 1
            if not depth:
                yield tokenize.STRING, _between(rows, start, token.end)
        elif not depth and token.type not in _SILENT:
            yield token.type, token.string


def _between(rows: list[str], start: Place, end: Place) -> str:
    """The text from one place to another."""
    if start[0] == end[0]:
        return rows[start[0] - 1][start[1] : end[1]]
    inner = rows[start[0] : end[0] - 1]
    return "".join([rows[start[0] - 1][start[1] :], *inner, rows[end[0] - 1][: end[1]]])


def definition(text: str, name: str) -> str:
    """Return the source of a function or class at the top of a module, decorators included.

    Raises:
        ValueError: there is none of that name.
    """
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            return "".join(text.splitlines(keepends=True)[first - 1 : node.end_lineno])
    raise ValueError(f"no function or class {name!r} at the top of the module")


@lru_cache(maxsize=1024)
def path_of(module: str) -> Path | None:
    """The file of a module, found without importing it; None where it has none.

    Args:
        module: its full name.
    """
    top, *rest = module.split(".")
    if top == "__main__":  # typed into an interpreter, or a script that is not found by its name
        return None
    found, name = find_spec(top), top
    for part in rest:
        name = f"{name}.{part}"
        folders = None if found is None else found.submodule_search_locations
        found = PathFinder.find_spec(name, list(folders)) if folders else None
    origin = None if found is None else found.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None


@lru_cache(maxsize=1024)
def text_of(module: str) -> str:
    """The source of a module, as it was when this process first asked; empty where it has none."""
    path = path_of(module)
    return "" if path is None else path.read_text(encoding="utf-8")


@lru_cache(maxsize=1024)
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Name bound in a module -> the module that it comes from, and its name there, if any.

    Imports inside functions and under conditions count; those of `TYPE_CHECKING` too, as nothing
    is lost by one module too many.
    """
    package = module if _is_package(module) else module.rpartition(".")[0]
    found: dict[str, tuple[str, str]] = {}
    for node in ast.walk(ast.parse(text_of(module))):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name: (alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            found |= {alias.asname or alias.name: (base, alias.name) for alias in node.names}
    return found


def _is_package(module: str) -> bool:
    path = path_of(module)
    return path is not None and path.name == "__init__.py"


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module of a `from ... import`, where it is relative too."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _definer(module: str, name: str, seen: frozenset[str] = frozenset()) -> str:
    """The module that defines what another one is asked for: packages pass names on."""
    submodule = f"{module}.{name}"
    if _is_package(module) and path_of(submodule) is not None:
        return submodule
    passed = _imports(module).get(name) if _is_package(module) else None
    if passed is None or not passed[1] or module in seen or path_of(passed[0]) is None:
        return module
    return _definer(*passed, seen | {module})


def closure(roots: Iterable[str], tops: Iterable[str]) -> tuple[str, ...]:
    """Return modules and all that they import, directly or not, in alphabetical order.

    A package that is only passed through (`robust.defenses` of `robust.defenses.rub`) is left
    out, and with it what it finds in its folder: a new defense changes no other. A module that
    registers a faster form of a function for a class belongs to the two, though neither imports
    it.

    Args:
        roots: full names of modules; those that have no file are left out.
        tops: packages whose modules count, such as `robust`.
    """
    wanted = tuple(tops)
    registered = [pair for top in wanted for pair in _registered_forms(top)]
    seen: set[str] = set()
    left = list(roots)
    while left:
        _follow(left, wanted, seen)
        left = [form for form, both in registered if both <= seen and form not in seen]
    return tuple(sorted(seen))


def _follow(roots: Iterable[str], wanted: tuple[str, ...], seen: set[str]) -> None:
    """Add modules and all that they import to those seen."""
    left = list(roots)
    while left:
        module = left.pop()
        if module in seen or path_of(module) is None:
            continue
        seen.add(module)
        for base, name in _imports(module).values():
            if base.split(".")[0] in wanted:
                left.append(_definer(base, name) if name else base)


@lru_cache(maxsize=1024)
def registering(package: str, name: str) -> tuple[str, ...]:
    """Return the modules of a package that call `register` at their top with a name in it.

    What is registered may be of a class of another module, and this one then holds its parts.
    """
    return tuple(module for module in _modules_of(package) if name in _registered_names(module))


@lru_cache(maxsize=1024)
def _registered_names(module: str) -> frozenset[str]:
    """The texts in the calls of `register` at the top of a module."""
    found: set[str] = set()
    for node in ast.parse(text_of(module)).body:
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register":
                texts = (one.value for one in ast.walk(call) if isinstance(one, ast.Constant))
                found.update(text for text in texts if isinstance(text, str))
    return frozenset(found)


@lru_cache(maxsize=16)
def _registered_forms(top: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Modules with `@function.register`, each with the modules of the function and the class."""
    found = []
    for module in _modules_of(top):
        for node in ast.parse(text_of(module)).body:
            if isinstance(node, ast.FunctionDef):
                names = [name for one in node.decorator_list if (name := _registering(one))]
                first = node.args.args[:1]
                kinds = [a.annotation.id for a in first if isinstance(a.annotation, ast.Name)]
                both = frozenset(_origin(module, name) for name in [*names, *kinds])
                found += [(module, both)] if names else []
    return tuple(found)


def _registering(decorator: ast.expr) -> str:
    """The function that `@function.register` or `@function.register(...)` is of; else nothing."""
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    if isinstance(target, ast.Attribute) and target.attr == "register":
        return target.value.id if isinstance(target.value, ast.Name) else ""
    return ""


def _origin(module: str, name: str) -> str:
    """The module that defines a name that a module uses."""
    base, there = _imports(module).get(name, (module, name))
    return _definer(base, there) if there else base


def _modules_of(top: str) -> Iterator[str]:
    """The full names of a package's modules."""
    path = path_of(top)
    if path is None:
        return
    for file in sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else ():
        parts = file.relative_to(path.parent).with_suffix("").parts
        yield ".".join([top, *(part for part in parts if part != "__init__")])
