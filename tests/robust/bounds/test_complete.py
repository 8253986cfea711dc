"""Bounds against complete search on tiny networks: mixed-integer programs, solved by HiGHS.

The largest z_k - z_y over a polytope is exact: [z]^+ with one binary per unit (Tjeng et al. 2019).
An L1 ball is a polytope, and so is an L-infinity ball; into an L2 ball a polytope is inscribed,
over which the largest difference can only be smaller.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp

from robust import certify
from robust.bounds import methods
from robust.networks import MLP
from tests.robust import reference
from tests.robust.helpers import random_batch, random_pack

Array = NDArray[np.float64]
SIZES = (3, 5, 4, 3)
BIG = 1e3  # no pre-activation within the balls comes near it


def corners(norm: str, features: int) -> Array:
    """The vertices of the unit ball, or of a polytope inscribed in it."""
    axes = np.concatenate([np.eye(features), -np.eye(features)])
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=features)))
    scaled = {"l1": axes, "linf": signs}
    return scaled.get(norm, np.concatenate([axes, signs / features**0.5]))


def largest_difference(
    net: MLP, network: int, x: Array, form: Array, radius: float, norm: str
) -> float:
    """max form'z over x + radius conv(corners), in weights of corners, and h and a binary each."""
    layers = reference.unpack(net, network)
    weights = [w.detach().numpy() for w in layers[0]]
    biases = [b.detach().numpy() for b in layers[1]]
    ends = x + radius * corners(norm, len(x))
    hidden = sum(len(b) for b in biases[:-1])
    size = len(ends) + 2 * hidden
    rows, low, high = [np.r_[np.ones(len(ends)), np.zeros(2 * hidden)]], [1.0], [1.0]
    inputs = np.zeros((len(x), size))
    inputs[:, : len(ends)] = ends.T
    start = len(ends)
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        z = weight.T @ inputs  # without the bias
        units = np.arange(len(bias))
        h, on = np.zeros((len(bias), size)), np.zeros((len(bias), size))
        h[units, start + units] = 1
        on[units, start + hidden + units] = 1
        for row, least, most in (
            (h - z, bias, np.full(len(bias), np.inf)),  # h >= z + b
            (h - z + BIG * on, np.full(len(bias), -np.inf), bias + BIG),  # h <= z + b + M(1 - on)
            (h - BIG * on, np.full(len(bias), -np.inf), np.zeros(len(bias))),  # h <= M on
        ):
            rows.extend(row)
            low.extend(least)
            high.extend(most)
        inputs, start = h, start + len(bias)
    objective = -(form @ weights[-1].T) @ inputs
    whole = np.r_[np.zeros(len(ends) + hidden), np.ones(hidden)]
    found = milp(
        objective,
        constraints=LinearConstraint(np.array(rows), low, high),
        integrality=whole,
        bounds=Bounds(0, np.r_[np.full(len(ends) + hidden, np.inf), np.ones(hidden)]),
        options={"mip_rel_gap": 0.0},
    )
    assert found.success, found.message
    return float(-found.fun + form @ biases[-1])


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_no_bound_is_below_the_largest_difference(norm: str) -> None:
    net = random_pack(SIZES, networks=1, seed=11)
    x, _ = random_batch(3, 3, 3, seed=11)
    y = net(x)[0].argmax(dim=1)
    unit = np.eye(3)
    for radius in (0.1, 0.6):
        bounds = {
            name: certify.worst_case_differences(net, x, y, radius, norm, name).detach()[0]
            for name in methods.names()
            if norm in methods.get(name).norms
        }
        for n in range(len(y)):
            for k in set(range(3)) - {int(y[n])}:
                form = unit[k] - unit[int(y[n])]
                exact = largest_difference(net, 0, x[n].numpy(), form, radius, norm)
                assert all(float(own[n, k]) >= exact - 1e-6 for own in bounds.values())
                held = certify.certified(net, x, y, radius, norm, "best")[0, n]
                assert not (held and exact > 1e-6)


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_certified_radius_is_not_beyond_the_robust_one(norm: str) -> None:
    net = random_pack(SIZES, networks=1, seed=12)
    x, _ = random_batch(3, 3, 3, seed=12)
    y = net(x)[0].argmax(dim=1)
    radii = certify.certified_radius(net, x, y, norm, "best")[0]
    assert (radii > 0).all()
    for n, radius in enumerate(radii.tolist()):
        worst = max(
            largest_difference(
                net, 0, x[n].numpy(), np.eye(3)[k] - np.eye(3)[int(y[n])], radius, norm
            )
            for k in set(range(3)) - {int(y[n])}
        )
        assert worst < 1e-6
