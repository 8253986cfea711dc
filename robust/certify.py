"""Certificates: what a bound proves about single examples (RUB's are those of Tables 7 to 9).

A certificate is claimed only if the bound, computed in float64, is below 0 by more than rounding
can explain (`bounds.rounding`). It is a theorem about the function that the weights define in
exact arithmetic. A network that runs in float32 rounds: it may change its class within the ball
nevertheless, as z_0 = [x + 1e8]^+ - 1e8 does, whose float32 values are multiples of 8. Only its
class at x itself is looked at. With precision="as run" the bound must be below 0 also by what
rounding may take from the network's own forward pass, anywhere in the ball: then no attack in its
precision changes the class (`robust.evaluation.subject`). A sweep's records count it so.

Legend: P networks in the pack, B batch, D input features, K classes.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from robust.bounds import methods as _methods
from robust.bounds import rub, tight
from robust.bounds.methods import Method
from robust.bounds.rounding import RoundingSlack, round_up
from robust.checks import (
    Numbers,
    Radius,
    check_batch,
    check_costs,
    check_parameters,
    for_each_example,
    pack_radius,
)
from robust.evaluation.proofs import Prover, prover
from robust.evaluation.subject import EXACT
from robust.losses import with_own_class
from robust.networks.linearization import Network
from robust.norms import Norm

methods = _methods.names

BISECTIONS = 24
SMALLEST_RADIUS, LARGEST_RADIUS = 2.0**-10, 2.0**100  # of the brackets that are doubled


def worst_case_differences(
    net: Network,
    x: Tensor,
    y: Tensor,
    radius: Radius,
    norm: Norm = "l1",
    method: str = "rub",
    costs: Numbers | None = None,
    *,
    dtype: torch.dtype | None = None,
    outward: bool = False,
) -> Tensor:
    """Return certified upper bounds of z_k - z_y over the ball (RUB, MLPs: Theorem 11, Eq. 35).

    They bound the network in exact arithmetic, up to the rounding of the bounds themselves, which
    `outward` adds.

    Args:
        net: P networks.
        x: inputs, [B, D] or [P, B, D], B >= 1, in scaled input units, of any real type; taken to
            the network's.
        y: labels in 0..K-1, [B], of any integer type.
        radius: true radius, a number or [P], finite and >= 0.
        norm: of the ball: l1, or l2 and linf where the method is a proof for them.
        method: one of `methods()`.
        costs: > 0, [D], for the L1 ball sum_m c_m |delta_m| <= radius; infinite where a feature
            cannot be moved. None is 1 for all.
        dtype: compute in this precision; None keeps the network's.
        outward: raise the bounds by what rounding can have taken from them.

    Returns:
        [P, B, K], 0 at k = y, infinite where the computation may overflow; differentiable in the
        parameters.

    Raises:
        ValueError: parameters or inputs that are not finite or of another precision, shapes that
            do not fit, labels, radii or costs out of range, an unknown method, or one that has
            no bound for the network, the norm or costs.
    """
    x, y = _check(net, x, y)
    chosen, weights = _method(net, method, norm, costs)
    if dtype is not None and dtype != x.dtype:
        net, x = copy.deepcopy(net).to(dtype), x.to(dtype)  # type: ignore[attr-defined]
        weights = None if weights is None else weights.to(dtype)
        _check(net, x, y)
    radii = _outward(radius, net.num_networks, x)
    bounds, slack = chosen.bounds(net, x, y, radii, norm, weights)
    return with_own_class(_unless_overflown(bounds + slack if outward else bounds, slack), y)


@torch.no_grad()
def worst_case_differences_tight(
    net: Network, x: Tensor, y: Tensor, radius: Radius, rounds: int = tight.ROUNDS
) -> Tensor:
    """Return the bounds of Theorem 11 with t optimised for each difference of each example.

    Args:
        net: P multi-layer perceptrons.
        x, y, radius: as for `worst_case_differences`.
        rounds: of the optimisation, at least 0; 0 is the paper's t.

    Returns:
        [P, B, K], 0 at k = y, infinite where the computation may overflow; nowhere above
        `worst_case_differences`.

    Raises:
        ValueError: as for `worst_case_differences`; another kind of network.
    """
    x, y = _check(net, x, y)
    radii = _outward(radius, net.num_networks, x)
    paper = rub.worst_case_differences(net, x, y, radii)
    every = torch.ones_like(paper, dtype=torch.bool)
    best = tight.bounds_of(net, x, y, radii, every, rounds)
    slack = RoundingSlack(net)(x, y, radii)[0]
    return with_own_class(_unless_overflown(torch.minimum(paper, best), slack), y)


def certified(
    net: Network,
    x: Tensor,
    y: Tensor,
    radius: Radius,
    norm: Norm = "l1",
    method: str = "rub",
    costs: Numbers | None = None,
    *,
    precision: str = EXACT,
) -> Tensor:
    """Return whether no perturbation of that radius changes the class from y.

    Proven for the network's weights in exact arithmetic, not for its rounding in float32, unless
    that is asked for; at x itself the network must say y in its own precision too. Strict: every
    bound must be below 0, so that a tie proves nothing, nor does a bound that is not finite.

    Args:
        net, x, y, radius, norm, method, costs: as for `worst_case_differences`.
        precision: exact, or "as run": no point of the ball changes the class of the network in
            its own precision, nor does one that an attack in it leaves the ball to by rounding.

    Returns:
        [P, B], boolean.

    Raises:
        ValueError: as for `worst_case_differences`; an unknown precision.
    """
    x, y = _check(net, x, y)
    weights = _method(net, method, norm, costs)[1]
    radii = _outward(radius, net.num_networks, x)
    return prover(net, method, norm, weights, precision).certified(x, y, radii)


def certified_tight(net: Network, x: Tensor, y: Tensor, radius: Radius) -> Tensor:
    """Return the same with t optimised for each example: whatever `certified` proves, and more.

    Args and Returns: as for `certified`.

    Raises:
        ValueError: as for `worst_case_differences_tight`.
    """
    x, y = _check(net, x, y)
    radii = _outward(radius, net.num_networks, x)
    return prover(net, "rub-tight").certified(x, y, radii)


def certified_radius(
    net: Network,
    x: Tensor,
    y: Tensor,
    norm: Norm = "l1",
    method: str = "rub",
    costs: Numbers | None = None,
    *,
    precision: str = EXACT,
) -> Tensor:
    """Return the largest certified radius of each example, by one bisection for all.

    What is proven at one radius holds at every smaller one, whose ball lies within. RUB's bound
    also grows with the radius, as each vertex's bound is convex in its signed step at fixed t; the
    slopes of CROWN's lines change with it, so that a larger radius may be proven than the one
    that is found. What is proven is what `certified` proves.

    Args:
        net: P networks.
        x: inputs, [B, D] or [P, B, D].
        y: labels in 0..K-1, [B], int64.
        norm, method, costs: as for `worst_case_differences`.
        precision: as for `certified`.

    Returns:
        [P, B], finite: the largest radius that was proven. It is the lower end of the last
        bracket, within 2^-23 of the upper end relatively (2^-34 absolutely below 2^-10), and at
        most 2^100, the last radius tried (that of a network that is constant around x). 0 where
        x is misclassified.

    Raises:
        ValueError: as for `worst_case_differences`; an unknown precision.
    """
    x, y = _check(net, x, y)
    weights = _method(net, method, norm, costs)[1]
    nothing = torch.zeros(net.num_networks, x.shape[-2], dtype=x.dtype, device=x.device)
    certifier = prover(net, method, norm, weights, precision)
    right = certifier.certified(x, y, nothing)
    low, high = nothing.clone(), torch.where(right, SMALLEST_RADIUS, nothing)
    some = right.any(dim=0).nonzero().squeeze(1)
    if len(some):
        at = x[..., some, :], y[some]
        low[:, some] = _bisected(certifier, *at, *_bracket(certifier, *at, high[:, some]))
    return torch.where(right, low, nothing)


def _bracket(certifier: Prover, x: Tensor, y: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return a certified radius of each example, and one that is not or the largest tried."""
    low, growing = torch.zeros_like(high), high > 0
    while growing.any():
        some = growing.any(dim=0).nonzero().squeeze(1)
        holds = growing.clone()
        holds[:, some] &= certifier.certified(x[..., some, :], y[some], high[:, some])
        low = torch.where(holds, high, low)
        growing = holds & (high < LARGEST_RADIUS)
        high = torch.where(growing, 2 * high, high)
    return low, high


def _bisected(certifier: Prover, x: Tensor, y: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the lower ends of the brackets after halving them, [P, B]."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        holds = certifier.certified(x, y, middle)
        low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
    return low


def _method(
    net: Network, name: str, norm: str, costs: Numbers | None
) -> tuple[Method, Tensor | None]:
    """Return a method that is made for what is asked, and the costs as a tensor."""
    method = _methods.get(name)
    method.check(net, norm, costs is not None)
    return method, None if costs is None else check_costs(costs, net)


def _unless_overflown(bounds: Tensor, slack: Tensor) -> Tensor:
    """Return bounds, infinite where their slack says that an overflow may have lowered them."""
    return torch.where(slack.isfinite(), bounds, float("inf"))


def _check(net: Network, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    batch = check_batch(net, x, y)
    check_parameters(net.parameters())
    return batch


def _outward(radius: Radius, num_networks: int, x: Tensor) -> Tensor:
    """Return the radius of each example, [P, B], in the type of `x` and never below the given."""
    pack_radius(radius, num_networks, x)  # refuses what is not finite in this type
    exact = pack_radius(radius, num_networks, x.double())
    raised = round_up(exact, x.dtype)
    if not bool(raised.isfinite().all()):
        largest = torch.finfo(x.dtype).max
        raise ValueError(f"radius must be at most {largest:g} in {x.dtype}, got {exact.tolist()}")
    return for_each_example(raised, x.shape[-2])
