"""Fingerprints of the source that trained a network and of the source that evaluated it.

A record carries two hashes of canonical source (`sweep.results.source`), as two columns:

source_fingerprint      the defense's own modules, the network kind's, the loop of training, and
                        all of `robust` that these import
evaluation_fingerprint  the attack's or certificate's modules, the network kind's, the walk over
                        batches, and all of `robust` that these import

A comment, a docstring or another defense changes neither. What data went in is hashed elsewhere:
data sets by their arrays, hyperparameters by the trial's id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from robust import attacks, defenses
from robust.bounds.methods.base import METHODS
from robust.evaluate import certificate_of
from robust.networks import kind_of
from robust.registry import unweighted
from sweep.results import source

_DIGITS = 12
_TOPS = ("robust",)
_METHODS = "robust.bounds.methods"
_TRAINING = ("robust.train",)
# Functions of modules that hold much else, of which a change would be a false alarm.
_TRAINING_PARTS = (("sweep.pack.train", "train_pack"), ("sweep.pack.train", "initial_networks"))
_ATTACKING = ("robust.evaluation.attack_batches", "robust.evaluation.clean")
_CERTIFYING = ("robust.evaluation.proofs", "robust.evaluation.clean")
_EVALUATION_PARTS = (("robust.evaluate", "survivors"), ("sweep.pack.assess", "sample"))

_STRONG_PARTS = (
    *(("sweep.pack.autoattack", "perturb"), ("sweep.pack.autoattack", "_Image")),
    *(("sweep.driver.strong", "_attacked"), ("sweep.pack.assess", "sample")),
)

Part = tuple[str, str]


@lru_cache(maxsize=4096)
def of_training(defense: str, network: str) -> str | None:
    """Return the fingerprint of what trains a network with a defense.

    Args:
        defense: its name, with or without hyperparameters, which are in the trial's id.
        network: as in the grid.

    Returns:
        12 hexadecimal digits; None where a source cannot be had, as of a class that was typed
        into an interpreter.

    Raises:
        ValueError: an unknown defense or network.
    """
    method = defenses.get(defense)
    named = source.registering("robust.defenses", defense.partition("(")[0])
    own = (*_modules(type(method)), *named, *_network_modules(network))
    return _hash((*own, *_TRAINING), _TRAINING_PARTS)


@lru_cache(maxsize=4096)
def of_evaluation(attack: str, network: str) -> str | None:
    """Return the fingerprint of what attacks or certifies a network.

    Args:
        attack: the column `attack`: an attack or a certificate.
        network: as in the grid.

    Returns:
        12 hexadecimal digits; None where a source cannot be had.

    Raises:
        ValueError: an unknown attack or network.
    """
    certificate = certificate_of(attack)
    if certificate is None:
        named = source.registering("robust.attacks", unweighted(attack))
        own = (*_modules(type(attacks.get(attack))), *named, *_ATTACKING)
    else:
        own = (*_method_modules(certificate.method), *_CERTIFYING)
    return _hash((*own, *_network_modules(network)), _EVALUATION_PARTS)


@lru_cache(maxsize=4096)
def of_strong(network: str) -> str | None:
    """Return the fingerprint of what makes strong attacks on a network: AutoAttack's frame here.

    The package that attacks is none of this project: its version is in no fingerprint.

    Args:
        network: as in the grid.

    Returns:
        12 hexadecimal digits; None where a source cannot be had.

    Raises:
        ValueError: an unknown network.
    """
    return _hash(_network_modules(network), _STRONG_PARTS)


def _method_modules(name: str) -> tuple[str, ...]:
    """The modules of a method that proves bounds, and of those that it asks by their names."""
    names = (name, *getattr(METHODS.get(name), "parts", ()))
    classes = (module for one in names for module in _modules(type(METHODS.get(one))))
    named = (module for one in names for module in source.registering(_METHODS, one))
    return tuple(dict.fromkeys((*classes, *named)))


def _network_modules(network: str) -> tuple[str, ...]:
    kind = kind_of(network)
    named = source.registering("robust.networks", kind.kind)
    return (*_modules(type(kind)), *_modules(kind.pack), *named)


def _modules(kind: type) -> tuple[str, ...]:
    """The modules of a class and of those that it is made of, without Python's own and torch's."""
    ours = {name.split(".")[0] for name in _TOPS} | {kind.__module__.split(".")[0]}
    found = (base.__module__ for base in kind.__mro__)
    return tuple(dict.fromkeys(name for name in found if name.split(".")[0] in ours))


@lru_cache(maxsize=4096)
def _hash(roots: tuple[str, ...], parts: tuple[Part, ...]) -> str | None:
    if any(source.path_of(module) is None for module in roots):
        return None
    tops = {*_TOPS, *(module.split(".")[0] for module in roots)}
    texts = {module: _canonical(module) for module in source.closure(roots, sorted(tops))}
    texts |= {
        f"{module}:{name}": source.canonical(source.definition(source.text_of(module), name))
        for module, name in parts
    }
    return _digest(f"{name}\n{text}" for name, text in sorted(texts.items()))


@lru_cache(maxsize=1024)
def _canonical(module: str) -> str:
    return source.canonical(source.text_of(module))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n\n".join(texts).encode()).hexdigest()[:_DIGITS]
