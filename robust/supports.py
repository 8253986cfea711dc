"""What goes with what: networks with defenses, attacks, certificates, norms and inputs.

The single answer, which configuration, certificates, tests and documents ask before any work.
What a method or a network supports stands in its own file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from torch import nn

from robust import attacks, defenses, networks
from robust.bounds import methods
from robust.evaluate import CERTIFICATES
from robust.networks.base import KINDS, NetworkKind, rules_of_network
from robust.registry import unknown

_CERTIFICATE_LABEL: Final = "Certified"


@dataclass(frozen=True)
class _Needs:
    """What a method is made for: its norm, kinds of networks (None: all), a rule of their layers.

    A rule (`robust.layers.base.RULES`) must be owned by every layer of a network.
    """

    norm: str | None
    kinds: tuple[str, ...] | None = None
    rule: str | None = None


@dataclass(frozen=True)
class Support:
    """Whether something is supported, and if not, why, as the end of a sentence."""

    reason: str | None = None

    def __bool__(self) -> bool:
        return self.reason is None


def supports(network: str | nn.Module, method: str, norm: str | None = None) -> Support:
    """Return whether a network goes with a defense, an attack or a certificate.

    Args:
        network: its name, or a pack.
        method: name of a defense, an attack or a certificate.
        norm: of the ball; None for that of the method.

    Raises:
        ValueError: a name is unknown.
    """
    needs = _requirements(method)
    if norm is not None and norm != needs.norm:
        return Support(f"is not made for norm {norm!r}; made for: {needs.norm or 'no ball'}")
    kind = networks.kind_of(network)
    if _has(kind, rules_of_network(network), needs):
        return Support()
    shown = repr(network) if isinstance(network, str) else kind.kind
    made_for = [known.kind for known in map(KINDS.get, KINDS) if _has(known, known.rules, needs)]
    return Support(f"is not made for network {shown}; made for: {', '.join(made_for)}")


def _has(kind: NetworkKind, rules: frozenset[str], needs: _Needs) -> bool:
    """Return whether networks of a kind, whose layers own these rules, have what is needed."""
    known = needs.kinds is None or kind.kind in needs.kinds
    return known and (needs.rule is None or needs.rule in rules)


def takes(network: str, input_shape: Sequence[int]) -> Support:
    """Return whether a network takes inputs of a shape.

    Args:
        network: its name.
        input_shape: (D,), or (height, width, channels) of images.

    Raises:
        ValueError: the name is unknown.
    """
    return Support(networks.kind_of(network).why_no_inputs(network, tuple(input_shape)))


def label_of(method: str) -> str:
    """Return what a defense, an attack or a certificate is called in print, without its norm.

    Raises:
        ValueError: the name is unknown.
    """
    if method in CERTIFICATES:
        return _CERTIFICATE_LABEL
    if method in attacks.names():
        return attacks.get(method).label
    return defenses.get(method).label


def _requirements(method: str) -> _Needs:
    """Return what a method is made for."""
    if method in CERTIFICATES:
        rule = methods.get(CERTIFICATES[method].method).compute.rule
        return _Needs(CERTIFICATES[method].norm, _proven_kinds(method), rule)
    if method in attacks.names():
        attack = attacks.get(method)
        return _Needs(attack.norm, attack.network_kinds)
    if method.partition("(")[0] in defenses.names():
        defense = defenses.get(method)
        return _Needs(defense.norm, defense.network_kinds, defense.layer_rule)
    raise ValueError(
        unknown("method", method, [*defenses.names(), *attacks.names(), *CERTIFICATES])
    )


def _proven_kinds(certificate: str) -> tuple[str, ...]:
    """Return the kinds of networks for which a certificate's method is a proof in its norm."""
    what = CERTIFICATES[certificate]
    method = methods.get(what.method)
    return tuple(name for name in KINDS if method.why_not(KINDS.get(name).pack, what.norm) is None)
