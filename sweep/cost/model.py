"""What a trial costs: floating-point operations and bytes, as functions of its setting.

Defenses, attacks and networks say what they take (`step_cost`, `products`, `size`); here it is put
together. The model counts matrix products only. It orders packs and splits the work evenly; how
long an operation takes on the device at hand is measured (sweep/cost/calibration.py), and
tests/sweep/cost/test_cost.py compares the model with PyTorch's own counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from robust import attacks as known_attacks
from robust import defenses
from robust.networks import NetworkSize
from sweep.results import schema

_FLOAT_BYTES = 4
# All radii of an example share a bisection, and most vertices are settled without a search.
_CERTIFICATE_SEARCHES = 2
_CERTIFICATES = (schema.CERTIFIED, schema.CERTIFIED_TIGHT)
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


def _products_per_radius(attack: str, size: NetworkSize, num_radii: int) -> float:
    if attack in _CERTIFICATES:
        search = defenses.get("rub").step_cost(size).products
        return _CERTIFICATE_SEARCHES * search / num_radii
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
