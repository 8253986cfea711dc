"""How far rounding can move a computed bound: what a certificate must leave as margin.

Whatever the order of its sums, a computed sum of products differs from the exact one by at most
gamma_n = n u / (1 - n u) times the sum of the absolute products, n the roundings along a path
and u the unit roundoff (Higham 2002, Lemma 3.1 and section 3.1). Replacing all weights, biases
and inputs by their absolute values gives a network whose output at |x|, its mass T, is the sum
of the absolute products of all paths: rectifying and taking a maximum do not increase an error,
and 0 <= t <= 1. In RUB both streams s and m are at most T in magnitude, so each layer's products
W(s - m)/2 and |W|(s + m)/2 have together at most the mass of the next layer, and the exact
error passes on through |W| as the mass does: with N the sum of the layers' roundings (of a dense
layer its fan-in + 8; of the others as `robust.layers` says) the computed bound is off by at most
gamma_N T at each vertex. The vertex x +- rho e_m adds at most rho max_m T(e_m) (without biases; a
maximum of sums is at most the sum of the maxima).
Screening adds such a bound once per hidden layer, each off by at most 6 gamma_N T. The factors
below are at least twice that, for the rounding of the mass itself and of the differences c_k W.

All of this holds only as long as nothing overflows. A sum that did may come out as any value, and
a ReLU can hide it; so where the mass of any unit comes near the largest number, the margin is
infinite, and an infinite margin leaves nothing proven.

Legend: P networks in the pack, B batch, D input features, K classes, L affine layers.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor

from robust.layers import walk
from robust.losses import other_classes

SEARCH_FACTOR = 8.0  # a bound evaluated at a vertex
CARRIED_FACTOR = 2.0  # times L, on top: the search on convolutions carries changes (rub-bound.md)
SCREENING_FACTOR = 12.0  # times L: a bound of the bound
ROWS = 256  # unit vectors passed through a network at once
HEADROOM = 2.0**5  # no number within a bound's computation exceeds a unit's mass as many times
_TRIED = 16  # powers of two tried for the largest step at which no unit overflows

# What multiplies the unit roundoff of float32 where torch may use shorter formats in products.
SHORTENED = {"highest": 2.0**-24, "high": 2.0**-11, "medium": 2.0**-8}


class RoundingSlack:
    """Margins for one pack; its parameters must not change afterwards."""

    @torch.no_grad()
    def __init__(self, net: Any) -> None:
        """Pass every unit vector through the network of absolute values once.

        Args:
            net: P networks with `weights` and `biases`.
        """
        self.mass = copy.deepcopy(net)
        for parameter in self.mass.parameters():
            parameter.abs_()
        linear = copy.deepcopy(self.mass)
        like = net.weights[0]
        for bias, none in zip(self.mass.biases, linear.biases, strict=True):
            bias.add_(torch.finfo(like.dtype).tiny / unit_roundoff(net))  # N underflows a layer
            bias.mul_(HEADROOM)  # with the inputs, so that all units are
            none.zero_()
        self.peak, self.reach = _peak_and_reach(linear, like)
        rows = HEADROOM * net.weights[-1].abs().amax(dim=(1, 2))  # c_k W, before it meets a unit
        self.reach = torch.where(rows.isfinite(), self.reach, -1.0)
        self.gamma = accumulated_roundoff(net)
        self.depth = len(net.weights)

    @torch.no_grad()
    def __call__(self, x: Tensor, y: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Return what may be lost in a searched and in a screened bound.

        Args:
            x: [B, D] or [P, B, D].
            y: labels, [B].
            radius: true L1 radius, [P, B].

        Returns:
            Two margins >= 0 for the classes k != y in increasing order, each [P, B, K-1]; infinite
            or NaN where a bound may overflow.
        """
        mass = self.mass(HEADROOM * x.abs())  # overflows where any unit does
        mass = (mass + HEADROOM * radius.unsqueeze(2) * self.peak.unsqueeze(1)) / HEADROOM
        beyond = ~(HEADROOM * radius <= self.reach.unsqueeze(1))
        mass = mass.masked_fill(beyond.unsqueeze(2), float("inf"))
        others = other_classes(y, mass.shape[2]).expand(mass.shape[0], -1, -1)
        own = y.view(1, -1, 1).expand_as(others[..., :1])
        both = mass.gather(2, others) + mass.gather(2, own)
        search = SEARCH_FACTOR + CARRIED_FACTOR * self.depth
        return search * self.gamma * both, SCREENING_FACTOR * self.depth * self.gamma * both


def _peak_and_reach(linear: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest output at a unit vector, and how far such a vector can be stretched.

    Args:
        linear: P networks without biases and without negative weights.
        like: gives dtype and device.

    Returns:
        max_m T(e_m), [P, K], and the largest power of two tried at which no unit of a network
        overflows, [P]: 0 where there is none.
    """
    unit = torch.eye(linear.num_features, dtype=like.dtype, device=like.device)
    rows = [unit[i : i + ROWS] for i in range(0, len(unit), ROWS)]
    largest = math.frexp(torch.finfo(like.dtype).max)[1]
    networks, classes = linear.num_networks, linear.num_classes
    peak = like.new_full((networks, classes), float("inf"))
    reach = like.new_zeros(networks)
    step = largest // _TRIED
    for exponent in range(largest - step, -largest, -step):
        stretched = torch.stack([linear(part * 2.0**exponent).amax(dim=1) for part in rows])
        found = stretched.amax(dim=0)
        new = (reach == 0) & found.isfinite().all(dim=1)
        reach = torch.where(new, 2.0**exponent, reach)
        peak = torch.where(new.unsqueeze(1), found / 2.0**exponent, peak)
        if bool((reach > 0).all()):
            break
    return peak, reach


def proves(bounds: Tensor, limit: Tensor) -> Tensor:
    """Return where a bound is a number below a limit; NaN and infinity prove nothing.

    Args:
        bounds: upper bounds, of any shape.
        limit: broadcastable to it.
    """
    return (bounds < limit) & (bounds > -float("inf"))


def accumulated_roundoff(net: Any) -> float:
    """Return gamma_N for all roundings between the input and the last layer; infinite if N u >= 1.

    Args:
        net: P networks.
    """
    lost = walk.roundings(net) * unit_roundoff(net)
    return lost / (1 - lost) if lost < 1 else float("inf")


def unit_roundoff(net: Any) -> float:
    """Return u of the network's dtype, larger where torch may shorten float32 in products."""
    like = net.weights[0]
    if like.dtype != torch.float32:
        return torch.finfo(like.dtype).eps / 2
    return SHORTENED[torch.get_float32_matmul_precision()]  # convolutions keep to it as well


def round_up(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return values in another precision, never below what was given."""
    nearest = values.to(dtype)
    above = torch.nextafter(nearest, torch.full_like(nearest, float("inf")))
    return torch.where(nearest.to(values.dtype) < values, above, nearest)
