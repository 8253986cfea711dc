"""What works with what: networks with defenses, certificates and inputs. Asked before training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from robust import defenses, networks
from robust.evaluate import CERTIFICATES, CERTIFIED_TIGHT
from robust.networks.convolution import POOL

_STAGES = 2  # of convolution and pooling in the network called cnn
# A certificate -> the kinds of networks that it is made for, where not all.
_CERTIFICATE_KINDS: Final[dict[str, tuple[str, ...]]] = {CERTIFIED_TIGHT: ("mlp",)}


def kind_of(network: str) -> str:
    """The kind of a network, `mlp` or `cnn`.

    Raises:
        ValueError: the name is unknown.
    """
    networks.check_name(network)
    return network if network == "cnn" else "mlp"


def why_no_defense(network: str, defense: str) -> str | None:
    """Why a network cannot be trained with a defense, as the end of a sentence; None if it can.

    Raises:
        ValueError: a name is unknown.
    """
    return _why_not(network, defenses.get(defense).network_kinds)


def why_no_certificate(network: str, certificate: str) -> str | None:
    """Why a network has no such certificate, as the end of a sentence; None if it has.

    Raises:
        ValueError: a name is unknown.
    """
    if certificate not in CERTIFICATES:
        raise ValueError(f"unknown certificate {certificate!r}; known: {', '.join(CERTIFICATES)}")
    return _why_not(network, _CERTIFICATE_KINDS.get(certificate, defenses.ALL_KINDS))


def why_no_data(network: str, input_shape: Sequence[int]) -> str | None:
    """Why a network cannot take inputs of a shape, as the end of a sentence; None if it can.

    Args:
        network: its name.
        input_shape: (D,), or (height, width, channels) of images.

    Raises:
        ValueError: the name is unknown.
    """
    if kind_of(network) == "mlp":
        return None
    shape = tuple(input_shape)
    if len(shape) != 3:
        return f"has {math.prod(shape)} flat features, and network {network!r} needs images"
    window = POOL**_STAGES
    if min(shape) < 1 or shape[0] % window or shape[1] % window:
        return (
            f"has images of {shape[0]} x {shape[1]} pixels, and network {network!r} needs sides "
            f"that are multiples of {window}"
        )
    return None


def _why_not(network: str, kinds: Sequence[str]) -> str | None:
    if kind_of(network) in kinds:
        return None
    return f"is not made for network {network!r}; made for: {', '.join(kinds)}"
