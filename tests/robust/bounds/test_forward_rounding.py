"""A network as it runs stays within its margin of the function that its weights define."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from robust import attacks, certify
from robust.bounds.ball import Ball
from robust.bounds.forward_rounding import ForwardRounding, furthest
from robust.losses import class_differences
from robust.networks import MLP
from robust.norms import Norm, norm, sample_unit_ball
from tests.robust.cnn_helpers import random_cnn
from tests.robust.helpers import random_batch, random_pack
from tests.robust.layers.graphs import GRAPHS, network

NORMS: tuple[Norm, ...] = ("l1", "l2", "linf")


def cancelling() -> tuple[MLP, Tensor, Tensor]:
    """z_0 = [x + 1e8]^+ - 1e8 and z_1 = 6: float32 rounds z_0 to a multiple of 8."""
    net = MLP.from_arrays(
        [torch.ones(1, 1), torch.tensor([[1.0, 0.0]])],
        [torch.tensor([1e8]), torch.tensor([-1e8, 6.0])],
    )
    return net, torch.tensor([[3.9]]), torch.tensor([1])


def shifted(shift: float, seed: int = 3) -> MLP:
    """Biases that cancel leave a network whose float32 form is a staircase."""
    net = random_pack((4, 9, 3), networks=3, seed=seed)
    with torch.no_grad():
        net.biases[0] += shift
        net.biases[1] -= shift * net.weights[1].sum(dim=1)
    return net.float()


def packs() -> dict[str, Any]:
    graphs = {name: network(graph, dtype=torch.float32) for name, graph in GRAPHS.items()}
    return {
        **graphs,
        "convolutions": random_cnn(2, (4, 6, 1), (3,), (3,), ()).float(),
        "one hidden layer": random_pack((4, 9, 3), 3, 1, torch.float32),
        "three hidden layers": random_pack((4, 12, 11, 10, 3), 3, 2, torch.float32),
        "staircase": shifted(1e6),
    }


def differences(net: Any, x: Tensor, y: Tensor) -> Tensor:
    """z_k - z_y for k != y in increasing order, [P, B, K-1], float64."""
    return class_differences(net(x).double(), y)


@pytest.mark.parametrize("order", NORMS)
@pytest.mark.parametrize("name", packs())
def test_float32_pass_stays_within_the_margin_everywhere_in_the_ball(
    name: str, order: Norm
) -> None:
    net, radius = packs()[name], 0.5
    exact, count = copy.deepcopy(net).double(), net.num_networks
    x, y = random_batch(30, net.num_features, net.num_classes, seed=5, dtype=torch.float32)
    wide = Ball(torch.full((count, 30), radius * (1 + 1e-6)), order)
    margin = ForwardRounding(net)(x, y, wide)
    generator = torch.Generator().manual_seed(1)
    off = torch.zeros_like(margin)
    for _ in range(20):
        at = x + radius * sample_unit_ball(tuple(x.shape), order, x, generator)
        moved = differences(net, at, y) - differences(exact, at.double(), y)
        off = torch.maximum(off, moved.abs())
    assert (off <= margin).all()
    assert (off > margin / 1000).any(), "the margin is of the size of what happens"


def test_margin_of_a_product_is_the_count_of_its_roundings() -> None:
    """With no hidden unit moving, 1 x 1 layers: (fan-in + 8) u (|w x| + |b|), layer by layer."""
    net = MLP.from_arrays(
        [torch.tensor([[2.0]]), torch.tensor([[1.0, -1.0]])],
        [torch.tensor([1.0]), torch.tensor([0.5, 0.25])],
    )
    x, y = torch.tensor([[3.0]]), torch.tensor([0])
    found = float(ForwardRounding(net)(x, y, Ball(torch.zeros(1, 1), "l1")))
    gamma = 9 * 2.0**-24
    assert found == pytest.approx(gamma * 7 * 2 + gamma * (7 + 0.5) + gamma * (7 + 0.25), rel=1e-5)


def test_unit_that_is_off_in_the_whole_ball_passes_no_error_on() -> None:
    net = MLP.from_arrays(
        [torch.tensor([[1.0]]), torch.tensor([[1e6, -1e6]])],
        [torch.tensor([-10.0]), torch.tensor([1.0, 0.0])],
    )
    x, y = torch.zeros(1, 1), torch.tensor([0])
    assert float(ForwardRounding(net)(x, y, Ball(torch.tensor([[5.0]]), "l1"))) < 1e-5
    assert float(ForwardRounding(net)(x, y, Ball(torch.tensor([[11.0]]), "l1"))) > 0.1


@pytest.mark.parametrize("weight", [1e38, 1e30])
def test_what_may_overflow_has_no_finite_margin(weight: float) -> None:
    net = MLP.from_arrays(
        [torch.full((1, 1), weight), torch.tensor([[weight, 0.0]])],
        [torch.zeros(1), torch.zeros(2)],
    )
    x, y = torch.ones(1, 1), torch.tensor([0])
    margin = ForwardRounding(net)(x, y, Ball(torch.full((1, 1), 10.0), "l1"))
    assert not margin.isfinite().any()
    assert not certify.certified(net, x, y, 0.1, precision="as run").any()


@pytest.mark.parametrize("order", NORMS)
def test_attacks_stay_where_certificates_as_run_reach(order: Norm) -> None:
    net, (x, y) = (
        random_pack((6, 9, 3), 2, 1, torch.float32),
        random_batch(50, 6, 3, seed=1, dtype=torch.float32),
    )
    x = 100 * x
    for name in (n for n in attacks.names() if attacks.get(n).norm == order):
        for radius in (1e-5, 0.01, 3.0):
            there = attacks.get(name)(net, x, y, radius, generator=torch.Generator())
            length = norm(there.double() - x.double(), order)
            allowed = furthest(x, torch.full((2, 50), radius), order, None, torch.float32)
            assert (length <= allowed).all(), name


def test_ball_of_radius_zero_is_the_input_alone() -> None:
    x = torch.full((1, 3), 1e6)
    assert furthest(x, torch.zeros(1, 1), "l2", None, torch.float32).item() == 0


def test_certificate_of_the_cancelling_network_is_one_of_exact_arithmetic_alone() -> None:
    net, x, y = cancelling()
    assert certify.certified_radius(net, x, y).item() == pytest.approx(2.1, rel=1e-5)
    assert certify.certified(net, x, y, 0.2).all()
    assert not certify.certified(net, x, y, 0.2, precision="as run").any()
    assert certify.certified_radius(net, x, y, precision="as run").item() == 0
    far = x - 500
    assert certify.certified(net, far, y, 0.2, precision="as run").all()


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e5, 1e6])
@pytest.mark.parametrize("order", NORMS)
def test_no_attack_in_float32_breaks_what_is_certified_as_run(order: Norm, shift: float) -> None:
    net = shifted(shift)
    x, _ = random_batch(80, 4, 3, seed=14, dtype=torch.float32)
    y, method = net(x)[0].argmax(dim=1), "best"
    names = [n for n in attacks.names() if attacks.get(n).norm == order]
    for radius in (0.02, 0.2):
        claims = certify.certified(net, x, y, radius, order, method, precision="as run")
        exact = certify.certified(net, x, y, radius, order, method)
        assert not (claims & ~exact).any()
        assert claims.any() or shift > 1e5
        for name in names:
            there = attacks.get(name)(net, x, y, radius, generator=torch.Generator())
            assert ((net(there).argmax(dim=2) == y) | ~claims).all()


def test_unknown_precision_is_refused_with_the_known_ones() -> None:
    net, x, y = cancelling()
    with pytest.raises(ValueError, match="'half'; known: exact, as run"):
        certify.certified(net, x, y, 0.1, precision="half")
