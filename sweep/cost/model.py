"""What a trial costs: floating-point operations and bytes, as functions of its setting.

Defenses, attacks and networks say what they take (`step_cost`, `products`, `size`); here it is put
together. The model counts matrix products only. It orders packs and splits the work evenly; how
long an operation takes on the device at hand is measured (sweep/cost/calibration.py), and
tests/sweep/cost/test_cost.py compares the model with PyTorch's own counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from robust import attacks as known_attacks
from robust import defenses
from robust.evaluate import certificate_of
from robust.networks import NetworkSize
from robust.registry import unweighted
from sweep.results import schema

_FLOAT_BYTES = 4
# All radii of an example share a bisection, and most vertices are settled without a search.
_CERTIFICATE_SEARCHES = 2
# Backward substitutions of all units, both ways, in float64, for each radius of a bisection.
_SUBSTITUTIONS = 2 * 2 * 3
CHEAP = 0.2  # of the rest of a trial's evaluation, below which a certificate comes with it
_STATES = 5  # parameters, gradients, Adam's two moments, and what an update computes
_ADAM = 6  # operations on each parameter


def training_flops(
    defense: str, size: NetworkSize, batch_size: int, steps: int, num_train: int
) -> float:
    """Return the floating-point operations of training one network.

    Raises:
        ValueError: the defense is unknown.
    """
    products = defenses.get(defense).step_cost(size).products
    return steps * (2 * products * min(batch_size, num_train) + _ADAM * size.parameters)


def evaluation_flops(size: NetworkSize, attacks: Sequence[str], num_radii: int, num: int) -> float:
    """Return the floating-point operations of evaluating one network on `num` samples.

    Args:
        size: of the network.
        attacks: names of attacks and certificates.
        num_radii: at which each attack is made.
        num: samples of all splits.

    Raises:
        ValueError: an attack is unknown.
    """
    each = sum(_products_per_radius(attack, size, num_radii) for attack in attacks)
    return 2.0 * each * num_radii * num


def affordable(
    certificates: Sequence[str], size: NetworkSize, others: Sequence[str], num_radii: int
) -> list[str]:
    """Return the certificates that take less than a fifth of what the other rows take.

    Args:
        certificates: their names.
        size: of the network.
        others: names of attacks and certificates that are made in any case.
        num_radii: at which each is made.
    """
    limit = CHEAP * sum(_products_per_radius(name, size, num_radii) for name in others)
    return [c for c in certificates if _products_per_radius(c, size, num_radii) < limit]


def _products_per_radius(attack: str, size: NetworkSize, num_radii: int) -> float:
    certificate = certificate_of(attack)
    if certificate is not None:
        search = defenses.get("rub").step_cost(size).products if certificate.norm == "l1" else 0.0
        best = unweighted(attack) in schema.CERTIFIED_BEST
        bisections = math.log2(num_radii + 1) if best else 0.0
        bounds = _SUBSTITUTIONS * (size.dual + size.num_classes * size.products)
        return (_CERTIFICATE_SEARCHES * search + bisections * bounds) / num_radii
    return known_attacks.get(attack).products(size)


def pack_bytes(defense: str, size: NetworkSize, batch_size: int, num_networks: int) -> float:
    """Return the memory of training a pack: parameters, optimizer, and what the loss keeps.

    Raises:
        ValueError: the defense is unknown.
    """
    cost = defenses.get(defense).step_cost(size)
    each = _FLOAT_BYTES * (cost.floats * batch_size + _STATES * size.parameters)
    most, often = cost.block
    return min(most, often * each) + num_networks * each
