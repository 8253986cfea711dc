"""L1 balls in which features have costs: costs of 1 are none, infinite ones fix a feature."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust import certify
from robust.bounds import methods
from robust.networks import MLP
from tests.robust.helpers import random_batch, random_pack

WITH_COSTS = [name for name in methods.names() if methods.get(name).with_costs]
FIXED = 2  # a feature that cannot be moved


def case(dtype: torch.dtype = torch.float64) -> tuple[MLP, Tensor, Tensor]:
    net = random_pack((5, 14, 12, 4), networks=2, seed=3, dtype=dtype)
    x, _ = random_batch(6, 5, 4, seed=3, dtype=dtype)
    return net, x, net(x)[0].argmax(dim=1)


def test_the_usual_methods_take_costs() -> None:
    assert {"rub", "vertex-crown", "crown", "interval", "best"} <= set(WITH_COSTS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", WITH_COSTS)
def test_costs_of_1_change_no_bit(method: str, dtype: torch.dtype) -> None:
    net, x, y = case(dtype)
    plain = certify.worst_case_differences(net, x, y, 0.3, method=method)
    ones = certify.worst_case_differences(net, x, y, 0.3, method=method, costs=torch.ones(5))
    assert torch.equal(plain, ones)


@pytest.mark.parametrize("method", WITH_COSTS)
def test_infinite_cost_equals_the_network_with_that_feature_fixed(method: str) -> None:
    net, x, y = case()
    costs = [1.0, 2.0, float("inf"), 0.5, 1.0]
    ours = certify.worst_case_differences(net, x, y, 0.3, method=method, costs=costs)
    moving = [m for m in range(5) if m != FIXED]
    for n in range(len(y)):  # the fixed feature's share of z_1 is a bias of its own
        weights = [w.detach() for w in net.weights]
        biases = [b.detach() for b in net.biases]
        biases[0] = biases[0] + x[n, FIXED] * weights[0][:, FIXED]
        weights[0] = weights[0][:, moving]
        alone = MLP.from_arrays(weights, biases)
        at = x[n : n + 1, moving], y[n : n + 1], 0.3
        left = [costs[m] for m in moving]
        theirs = certify.worst_case_differences(alone, *at, method=method, costs=left)
        torch.testing.assert_close(ours[:, n], theirs[:, 0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", WITH_COSTS)
def test_costs_bound_what_every_vertex_of_the_weighted_ball_reaches(method: str) -> None:
    net, x, y = case()
    costs = torch.tensor([0.3, 2.0, float("inf"), 1.0, 7.0], dtype=torch.float64)
    bounds = certify.worst_case_differences(net, x, y, 0.4, method=method, costs=costs).detach()
    steps = torch.diag(0.4 / costs)
    for step in torch.cat([steps, -steps]):
        logits = net(x + step)
        reached = logits - logits.gather(2, y.view(1, -1, 1).expand(2, -1, 1))
        assert (reached <= bounds + 1e-9).all()


@pytest.mark.parametrize("method", ["rub", "vertex-crown"])
def test_dearer_features_certify_no_less(method: str) -> None:
    net, x, y = case()
    plain = certify.certified_radius(net, x, y, method=method)
    dearer = certify.certified_radius(net, x, y, method=method, costs=torch.full((5,), 2.0))
    torch.testing.assert_close(dearer, 2 * plain, rtol=1e-5, atol=1e-9)
    held = certify.certified_radius(net, x, y, method=method, costs=[float("inf")] * 5)
    assert (held[plain > 0] == certify.LARGEST_RADIUS).all()


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        ([1.0] * 4, "one per feature"),
        ([1.0, 1.0, 0.0, 1.0, 1.0], "costs must be > 0 .*got 0.0"),
        ([1.0, -2.0, 1.0, 1.0, 1.0], "got -2.0"),
        ([1.0, float("nan"), 1.0, 1.0, 1.0], "got nan"),
    ],
)
def test_costs_that_make_no_sense_are_refused_in_one_line(
    costs: list[float], message: str
) -> None:
    net, x, y = case()
    with pytest.raises(ValueError, match=message) as error:
        certify.certified(net, x, y, 0.1, costs=costs)
    assert "\n" not in str(error.value)


def test_costs_are_refused_where_no_proof_knows_them() -> None:
    net, x, y = case()
    for norm, method in (("l2", "crown"), ("linf", "best"), ("l1", "rub-tight")):
        with pytest.raises(ValueError, match="takes no costs|made for|costs in norm"):
            certify.certified(net, x, y, 0.1, norm, method, [1.0] * 5)
