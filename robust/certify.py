"""Certificates: what RUB's bound proves about single examples (Tables 7 to 9).

A certificate is claimed only if the bound, computed in float64, is below 0 by more than rounding
can explain (`bounds.rounding`).

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from robust.bounds import rub, rub_tight
from robust.bounds.certifier import Certifier
from robust.bounds.rounding import RoundingSlack, round_up
from robust.checks import Radius, check_batch, pack_radius
from robust.losses import with_own_class
from robust.networks.linearization import Network

BISECTIONS = 24


def worst_case_differences(
    net: Network,
    x: Tensor,
    y: Tensor,
    radius: Radius,
    *,
    dtype: torch.dtype | None = None,
    outward: bool = False,
) -> Tensor:
    """Return certified upper bounds of z_k - z_y over the L1 ball (MLPs: Theorem 11, Eq. 35).

    Args:
        net: P networks.
        x: inputs, [B, D] or [P, B, D], B >= 1, in scaled input units, of any real type; taken to
            the network's.
        y: labels in 0..K-1, [B], of any integer type.
        radius: true L1 radius, a number or [P], finite and >= 0.
        dtype: compute in this precision; None keeps the network's.
        outward: raise the bounds by what rounding can have taken from them.

    Returns:
        [P, B, K], 0 at k = y; differentiable in the parameters.

    Raises:
        ValueError: inputs that are not finite, shapes that do not fit, labels or radii out of
            range, a network without a bound.
    """
    x, y = _check(net, x, y)
    if dtype is not None and dtype != x.dtype:
        net, x = copy.deepcopy(net).to(dtype), x.to(dtype)  # type: ignore[attr-defined]
    radii = _outward(radius, net.num_networks, x).unsqueeze(1)
    bounds = rub.worst_case_differences(net, x, y, radii)
    if outward:
        bounds = bounds + RoundingSlack(net)(x, y, radii.expand(bounds.shape[:2]))[0]
    return with_own_class(bounds, y)


@torch.no_grad()
def worst_case_differences_tight(
    net: Network, x: Tensor, y: Tensor, radius: Radius, rounds: int = rub_tight.ROUNDS
) -> Tensor:
    """Return the bounds of Theorem 11 with t optimised for each difference of each example.

    Args:
        net: P multi-layer perceptrons.
        x, y, radius: as for `worst_case_differences`.
        rounds: of the optimisation, at least 0; 0 is the paper's t.

    Returns:
        [P, B, K], 0 at k = y; nowhere above `worst_case_differences`.

    Raises:
        ValueError: as for `worst_case_differences`; another kind of network.
    """
    x, y = _check(net, x, y)
    radii = _outward(radius, net.num_networks, x).unsqueeze(1).expand(-1, x.shape[-2])
    paper = rub.worst_case_differences(net, x, y, radii)
    every = torch.ones_like(paper, dtype=torch.bool)
    best = rub_tight.bounds_of(net, x, y, radii, every, rounds)
    return with_own_class(torch.minimum(paper, best), y)


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
    x, y = _check(net, x, y)
    return Certifier(net).certified(x, y, _outward(radius, net.num_networks, x).unsqueeze(1))


def certified_tight(net: Network, x: Tensor, y: Tensor, radius: Radius) -> Tensor:
    """Return the same with t optimised for each example: whatever `certified` proves, and more.

    Raises:
        ValueError: as for `worst_case_differences_tight`.
    """
    x, y = _check(net, x, y)
    radii = _outward(radius, net.num_networks, x).unsqueeze(1)
    return Certifier(net).certified_tight(x, y, radii)


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
    x, y = _check(net, x, y)
    certifier = Certifier(net)
    like = net(x)[..., 0].detach()
    low, high = torch.zeros_like(like), torch.full_like(like, 2.0**-10)
    correct = certifier.certified(x, y, low)
    growing = correct.clone()
    while growing.any() and float(high.max()) < 2.0**40:
        growing &= certifier.certified(x, y, high)
        low = torch.where(growing, high, low)
        high = torch.where(growing, high * 2, high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        holds = certifier.certified(x, y, middle)
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    return torch.where(growing, float("inf"), torch.where(correct, low, 0.0))


def _check(net: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return check_batch(net, x, y)


def _outward(radius: Radius, num_networks: int, like: Tensor) -> Tensor:
    """Return one radius per network, [P], in the dtype of `like` and never below the given."""
    pack_radius(radius, num_networks, like)  # refuses what is not finite in this type
    exact = pack_radius(radius, num_networks, like.double())
    return round_up(exact, like.dtype)
