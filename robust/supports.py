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
from robust.evaluate import CERTIFICATES, Certificate, certificate_of
from robust.networks.base import KINDS, NetworkKind, rules_of_network
from robust.registry import UNIFORM, both, is_weighted, unknown, unweighted, why_no_costs

_CERTIFICATE_LABEL: Final = "Certified"


@dataclass(frozen=True)
class _Needs:
    """What a method is made for: its norm, kinds of networks (None: all), a rule of their layers.

    A rule (`robust.layers.base.RULES`) must be owned by every layer of a network. `reason` says
    why there is no such method at all, where its name asks for costs that it takes nowhere.
    """

    norm: str | None
    kinds: tuple[str, ...] | None = None
    rule: str | None = None
    reason: str | None = None


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
        method: name of a defense, an attack or a certificate; with `(costs=catalog)` behind it,
            in L1 balls in which features have costs.
        norm: of the ball; None for that of the method.

    Raises:
        ValueError: a name is unknown.
    """
    needs = _requirements(method)
    if needs.reason is not None:
        return Support(needs.reason)
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
    if certificate_of(method) is not None:
        return _CERTIFICATE_LABEL
    if unweighted(method) in attacks.names():
        return attacks.get(method).label
    return defenses.get(method).label


def _requirements(method: str) -> _Needs:
    """Return what a method is made for."""
    if (certificate := certificate_of(method)) is not None:
        rule = methods.get(certificate.method).compute.rule
        reason = why_no_costs(certificate.norm, None) if is_weighted(method) else None
        return _Needs(certificate.norm, _proven_kinds(method, certificate), rule, reason)
    if unweighted(method) in attacks.names():
        return _of_attack(attacks.get(method), is_weighted(method))
    if method.partition("(")[0] in defenses.names():
        return _of_defense(defenses.get(method))
    raise ValueError(
        unknown("method", method, [*defenses.names(), *attacks.names(), *CERTIFICATES])
    )


def _of_attack(attack: attacks.Attack, with_costs: bool) -> _Needs:
    if not with_costs:
        return _Needs(attack.norm, attack.network_kinds)
    reason = why_no_costs(attack.norm, attack.cost_kinds)
    return _Needs(attack.norm, both(attack.network_kinds, attack.cost_kinds), reason=reason)


def _of_defense(defense: defenses.Defense) -> _Needs:
    kinds = defense.network_kinds
    if defense.costs != UNIFORM:
        kinds = both(kinds, defense.cost_kinds)
    return _Needs(defense.norm, kinds, defense.layer_rule)


def _proven_kinds(name: str, what: Certificate) -> tuple[str, ...]:
    """Return the kinds of networks for which a certificate's method is a proof in its norm."""
    method = methods.get(what.method)
    packs = {kind: KINDS.get(kind).pack for kind in KINDS}
    costs = is_weighted(name)
    reasons = {kind: method.why_not(pack, what.norm, costs) for kind, pack in packs.items()}
    return tuple(kind for kind, reason in reasons.items() if reason is None)
