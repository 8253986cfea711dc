"""How things are called and drawn in print: the paper's names, symbols, order and colours.

The colours of the paper's defenses are at least 20 apart (CIEDE2000) for every common eye. Those
of others may be nearer; markers and dashes tell all lines apart, in grey print too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# The image sets by the names of the paper's tables here, and what records call them.
SPELLINGS = {
    "mnist": ("MNIST", "mnist", "mnist_784", "Mnist"),
    "fashion-mnist": (
        *("Fashion-MNIST", "fashion-mnist", "fashion_mnist", "Fashion_MNIST"),
        *("FashionMNIST", "Fashion MNIST", "fashionmnist", "FASHION_MNIST", "FASHION-MNIST"),
    ),
    "cifar10": ("CIFAR-10", "cifar10", "CIFAR10", "cifar-10", "CIFAR_10", "cifar_10", "cifar"),
}
VISION = tuple(SPELLINGS)
_IMAGE_SET = {spelling: name for name, known in SPELLINGS.items() for spelling in known}
NORMS = ("l2", "l1", "linf")  # the order of the paper's tables

DATASET_TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion MNIST", "cifar10": "CIFAR"}
# Norm -> (subscript in mathematics, in plain text).
_NORM_SUBSCRIPTS = {"l1": ("1", "1"), "l2": ("2", "2"), "linf": (r"\infty", "∞")}
_METHODS = {
    "rub": "RUB",
    "arub": "aRUB",
    "baseline": "Baseline",
    "pgd": "PGD",
    "fgsm": "FGSM",
    "fgm": "FGM",
    "coap": "COAP",
    "nominal": "Nominal",
    "certified": "Certified",
}
_ORDER = tuple(_METHODS)


@dataclass(frozen=True)
class Style:
    """How one defense is drawn."""

    color: str
    marker: str
    dash: str | tuple[float, tuple[float, ...]]


_STYLES = {
    "rub": Style("#DD5500", "o", "-"),
    "arub-l1": Style("#7377FF", "^", "--"),
    "arub-l2": Style("#C9C2F6", "v", (0, (3, 1, 1, 1, 1, 1))),
    "arub-linf": Style("#120BE0", "s", "-"),
    "baseline-linf": Style("#FACD0C", "D", "-."),
    "pgd-linf": Style("#00CDA5", "p", "-"),
    "fgsm-linf": Style("#7C475E", "X", "--"),
    "coap-linf": Style("#093E00", "*", ":"),
    "nominal": Style("#000000", "x", ":"),
}
_SPARE = tuple(
    Style(color, marker, dash)
    for dash, markers in (("--", "<>hP"), ("-.", "dH8+"))
    for color, marker in zip(("#7F7F7F", "#882255", "#44AA99", "#999933"), markers, strict=True)
)

_NAME = re.compile(
    r"(?P<method>[^()]+?)(?:-(?P<norm>l1|l2|linf))?(?P<rest>-best|-tight)?(?P<values>\(.*\))?"
)

# What the records at hand call methods that the paper does not have, and their spare styles.
_adopted: dict[str, str] = {}
_given: dict[str, str] = {}  # all that was adopted
_spare_places: dict[str, int] = {}


def adopt(labels: Mapping[str, str]) -> None:
    """Learn what records call their defenses and attacks (`labels` of their manifests)."""
    for name in sorted(labels):
        _adopted.setdefault(_parts(name)[0], labels[name])
        _given.setdefault(name, labels[name])
        _styled(name)


def given() -> dict[str, str | None]:
    """Return what another process must `learn` to print and draw all names as this one does.

    Returns:
        Name -> label, None where it has none, in the order in which spare styles were taken.
    """
    return {name: _given.get(name) for name in (*_spare_places, *_given)}


def learn(known: Mapping[str, str | None]) -> None:
    """Take over labels and styles that another process has given (`given`)."""
    for name, text in known.items():
        if text is None:
            _styled(name)
        else:
            adopt({name: text})


def _parts(name: str) -> tuple[str, str | None, str]:
    """Return method, norm and what follows: `-best`, or hyperparameters in brackets."""
    match = _NAME.fullmatch(name)
    if match is None:
        return name, None, ""
    return match["method"], match["norm"], (match["rest"] or "") + (match["values"] or "")


def _method(name: str) -> str | None:
    """Return a method's label, the paper's or its author's; None where there is neither."""
    return _METHODS.get(name) or _adopted.get(name)


def label(name: str) -> str:
    """Return the name of a defense or attack in print, as plain text: `aRUB-L∞`."""
    method, norm, rest = _parts(name)
    known = _method(method)
    if known is None:
        return name
    return known + ("" if norm is None else f"-{norm_label(norm)}") + _spaced(rest)


def math_label(name: str) -> str:
    """Return the same with its symbols in TeX mathematics: `aRUB-$L_\\infty$`."""
    method, norm, rest = _parts(name)
    known = _method(method)
    if known is None:
        return _escaped(name)
    symbol = "" if norm is None else f"-${norm_symbol(norm)}$"
    return _escaped(known) + symbol + _escaped(_spaced(rest))


def _spaced(rest: str) -> str:
    return rest.replace("(", " (").replace("=", " = ").replace(",", ", ")


def _escaped(text: str) -> str:
    return text.replace("_", r"\_")


def norm_symbol(norm: str) -> str:
    """Return a norm's symbol in TeX mathematics, without dollar signs."""
    return f"L_{{{_NORM_SUBSCRIPTS[norm][0]}}}"


def norm_label(norm: str) -> str:
    """Return a norm's symbol as plain text: `L∞`."""
    return f"L{_NORM_SUBSCRIPTS[norm][1]}"


def dataset_title(name: str) -> str:
    """Return a data set's name as the paper prints it."""
    return DATASET_TITLES.get(image_set(name) or "", name)


def image_set(name: str) -> str | None:
    """Return which of the three image sets a data set is, None if it is tabular."""
    return _IMAGE_SET.get(name)


def order_key(defense: str) -> tuple[int, str]:
    """Return the sort key that puts defenses in the order of the paper's tables."""
    method, _, _ = _parts(defense)
    return (_ORDER.index(method) if method in _ORDER else len(_ORDER), defense)


def ordered(defenses: list[str] | set[str]) -> list[str]:
    """Return the defenses in the order of the paper's tables."""
    return sorted(set(defenses), key=order_key)


def style(defense: str) -> Style:
    """Return how a defense is drawn; those that the paper does not have take spare styles."""
    return _STYLES[defense] if defense in _STYLES else _SPARE[_styled(defense) % len(_SPARE)]


def _styled(defense: str) -> int:
    """Return the place of a defense among those without a style of their own."""
    if defense not in _STYLES and defense not in _spare_places:
        _spare_places[defense] = len(_spare_places)
    return _spare_places.get(defense, 0)
