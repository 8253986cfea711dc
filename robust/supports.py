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
from robust.networks.base import KINDS
from robust.registry import unknown

_CERTIFICATE_LABEL: Final = "Certified"


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
    kinds, own = _requirements(method)
    if norm is not None and norm != own:
        return Support(f"is not made for norm {norm!r}; made for: {own or 'no ball'}")
    kind = networks.kind_of(network).kind
    if kinds is None or kind in kinds:
        return Support()
    shown = repr(network) if isinstance(network, str) else kind
    return Support(f"is not made for network {shown}; made for: {', '.join(kinds)}")


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


def _requirements(method: str) -> tuple[tuple[str, ...] | None, str | None]:
    """Return the kinds of networks (None: all) and the norm that a method is made for."""
    if method in CERTIFICATES:
        return _proven_kinds(method), CERTIFICATES[method].norm
    if method in attacks.names():
        attack = attacks.get(method)
        return attack.network_kinds, attack.norm
    if method.partition("(")[0] in defenses.names():
        defense = defenses.get(method)
        return defense.network_kinds, defense.norm
    raise ValueError(
        unknown("method", method, [*defenses.names(), *attacks.names(), *CERTIFICATES])
    )


def _proven_kinds(certificate: str) -> tuple[str, ...]:
    """Return the kinds of networks for which a certificate's method is a proof in its norm."""
    what = CERTIFICATES[certificate]
    method = methods.get(what.method)
    return tuple(name for name in KINDS if method.why_not(KINDS.get(name).pack, what.norm) is None)
