"""Every method of certification: what it supports, refuses, and proves of random networks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robust import certify, networks
from robust.bounds import methods
from robust.networks import MLP
from robust.norms import sample_unit_ball
from tests.robust.helpers import random_batch, random_pack

EVERY = [(name, norm) for name in methods.names() for norm in methods.get(name).norms]


def case(seed: int = 3) -> tuple[MLP, Tensor, Tensor]:
    """Two networks, and six inputs that the first of them classifies as their labels."""
    net = random_pack((5, 14, 12, 10, 4), networks=2, seed=seed)
    x, _ = random_batch(6, 5, 4, seed=seed)
    return net, x, net(x)[0].argmax(dim=1)


@pytest.mark.parametrize(("method", "norm"), EVERY)
def test_bound_is_never_below_what_points_of_the_ball_reach(method: str, norm: str) -> None:
    net, x, y = case()
    generator = torch.Generator().manual_seed(0)
    for radius in (0.0, 0.05, 0.5):
        bounds = certify.worst_case_differences(net, x, y, radius, norm, method).detach()
        delta = sample_unit_ball((200, *x.shape), norm, x, generator)
        corners = torch.cat([torch.eye(5), -torch.eye(5), torch.ones(1, 5)]).to(x)
        scale = corners.abs().sum(1) if norm == "l1" else corners.norm(dim=1)
        ends = corners / (1 if norm == "linf" else scale.unsqueeze(1))
        points = torch.cat([delta, ends.unsqueeze(1).expand(-1, len(x), -1)]) * radius + x
        logits = net(points.flatten(0, 1)).view(2, len(points), len(x), 4)
        own = y.view(1, 1, -1, 1).expand(2, len(points), -1, 1)
        reached = (logits - logits.gather(3, own)).amax(dim=1)
        assert (reached <= bounds + 1e-9).all()


@pytest.mark.parametrize(("method", "norm"), EVERY)
def test_bound_at_radius_0_is_the_network(method: str, norm: str) -> None:
    net, x, y = case()
    bounds = certify.worst_case_differences(net, x, y, 0.0, norm, method)
    logits = net(x)
    own = y.view(1, -1, 1).expand(2, -1, 1)
    torch.testing.assert_close(bounds, logits - logits.gather(2, own), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("method", "norm"), EVERY)
def test_certificates_agree_with_the_bounds_and_end_at_the_radius(method: str, norm: str) -> None:
    net, x, y = case()
    radii = certify.certified_radius(net, x, y, norm, method)
    for p in range(2):
        for radius in (0.05, 0.3):
            held = certify.certified(net, x, y, radius, norm, method)[p]
            bounds = certify.worst_case_differences(net, x, y, radius, norm, method)[p]
            bounds[torch.arange(len(y)), y] = -1
            assert torch.equal(held, (bounds < 0).all(dim=1))
            assert (held <= (radii[p] >= radius)).all()  # RUB's grow, others may end before
    assert ((radii > 0) == (net(x).argmax(dim=2) == y)).all()
    for n in range(len(y)):
        alone = net.subset([0]), x[n : n + 1], y[n : n + 1], float(radii[0, n])
        assert radii[0, n] == 0 or certify.certified(*alone, norm, method)


@pytest.mark.parametrize("method", methods.names())
def test_result_depends_on_neither_pack_nor_batch(method: str) -> None:
    net, x, y = case()
    whole = certify.worst_case_differences(net, x, y, 0.2, method=method)
    for p in range(2):
        for n in range(len(y)):
            at = slice(n, n + 1)
            alone = certify.worst_case_differences(
                net.subset([p]), x[at], y[at], 0.2, method=method
            )
            torch.testing.assert_close(whole[p, at], alone[0], rtol=1e-12, atol=1e-12)


def test_what_a_method_is_not_made_for_is_refused_in_one_line() -> None:
    net, x, y = case()
    cnn = networks.build("cnn", 64, 3, 1, seed=0, input_shape=(8, 8, 1))
    images, labels = torch.zeros(1, 64), torch.zeros(1, dtype=torch.int64)
    mistakes = {
        r"method 'rub' is no proof for norm 'l2'; for: l1": (net, x, y, 0.1, "l2"),
        "unknown method 'crow'": (net, x, y, 0.1, "l1", "crow"),
        "'rub-tight' has no bound for a network of type CNN": (
            *(cnn, images, labels, 0.1, "l1", "rub-tight"),
        ),
    }
    for call in (certify.worst_case_differences, certify.certified):
        for message, given in mistakes.items():
            with pytest.raises(ValueError, match=message) as error:
                call(*given)
            assert "\n" not in str(error.value)
