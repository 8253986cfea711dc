"""Certificates: what RUB's bound proves about single examples (Tables 7 to 9).

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robust.bounds import rub
from robust.checks import Radius, check_inputs, check_labels, pack_radius
from robust.losses import with_own_class
from robust.networks.linearization import Network

BISECTIONS = 24


def worst_case_differences(net: Network, x: Tensor, y: Tensor, radius: Radius) -> Tensor:
    """Return certified upper bounds of z_k - z_y over the L1 ball (Theorem 11).

    Args:
        net: P networks.
        x: inputs, [B, D] or [P, B, D], in scaled input units.
        y: labels in 0..K-1, [B], int64.
        radius: true L1 radius, a number or [P], finite and >= 0.

    Returns:
        [P, B, K], 0 at k = y; differentiable in the parameters.

    Raises:
        ValueError: inputs that are not finite, shapes that do not fit, labels or radii out of
            range, a network without a bound.
    """
    radii = _checked(net, x, y, radius)
    return with_own_class(rub.worst_case_differences(net, x, y, radii.unsqueeze(1)), y)


def certified(net: Network, x: Tensor, y: Tensor, radius: Radius) -> Tensor:
    """Return whether no L1 perturbation of that radius changes the class from y.

    Strict: every bound must be below 0, so that a tie proves nothing.

    Args:
        net, x, y, radius: as for `worst_case_differences`.

    Returns:
        [P, B], boolean.

    Raises:
        ValueError: as for `worst_case_differences`.
    """
    radii = _checked(net, x, y, radius)
    return _holds(net, x, y, radii.unsqueeze(1))


@torch.no_grad()
def certified_radius(net: Network, x: Tensor, y: Tensor) -> Tensor:
    """Return the largest certified L1 radius of each example, by bisection.

    At fixed t each vertex's bound is convex in its signed step, so the bound grows with the
    radius and what is certified at one radius is certified at every smaller one.

    Args:
        net: P networks.
        x: inputs, [B, D] or [P, B, D].
        y: labels in 0..K-1, [B], int64.

    Returns:
        [P, B]: the lower end of the last bracket, itself certified and within 2^-23 of the
        upper end relatively (2^-34 absolutely below 2^-10); 0 where x is misclassified,
        infinity where no radius up to 2^40 breaks the certificate.

    Raises:
        ValueError: as for `worst_case_differences`.
    """
    _checked(net, x, y, 0.0)
    like = net(x)[..., 0]
    low, high = torch.zeros_like(like), torch.full_like(like, 2.0**-10)
    correct = _holds(net, x, y, low)
    growing = correct.clone()
    while growing.any() and float(high.max()) < 2.0**40:
        growing &= _holds(net, x, y, high)
        low = torch.where(growing, high, low)
        high = torch.where(growing, high * 2, high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        holds = _holds(net, x, y, middle)
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    return torch.where(growing, float("inf"), torch.where(correct, low, 0.0))


def _holds(net: Network, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    return (rub.search(net, x, y, radius)[0] < 0).all(dim=-1)


def _checked(net: Network, x: Tensor, y: Tensor, radius: Radius) -> Tensor:
    check_inputs(x, net.num_networks, net.num_features)
    check_labels(y, x.shape[-2], net.num_classes)
    return pack_radius(radius, net.num_networks, x)
