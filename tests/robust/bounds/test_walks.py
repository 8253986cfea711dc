"""Interval bounds, CROWN and RUB by walks over graphs: proofs, and as tight as they should be."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from robust import certify
from robust.bounds import crown_walk, interval_walk
from robust.bounds.ball import Ball
from robust.bounds.walk_rounding import WalkSlack
from robust.losses import class_differences
from robust.networks import GraphNetwork
from robust.norms import ORDERS, sample_unit_ball
from tests.robust.bounds.complete_search import exact_logits, largest_differences
from tests.robust.crown import upper_bounds
from tests.robust.helpers import (
    golden_batch,
    golden_files,
    golden_network,
    load_golden,
    random_batch,
)
from tests.robust.layers.graphs import GRAPHS, crossed_graph, network, residual_graph

METHODS = {"l1": ("interval", "crown", "rub"), "l2": ("interval", "crown")}
METHODS["linf"] = METHODS["l2"]


def points_of_ball(x: Tensor, order: str, radius: float, count: int) -> Tensor:
    """Points within and on the boundary, and corners, [N, B, D]."""
    generator = torch.Generator().manual_seed(0)
    inside = sample_unit_ball((count, *x.shape), order, x, generator)
    length = torch.linalg.vector_norm(inside, ord=float(order[1:]), dim=2, keepdim=True)
    unit = torch.eye(x.shape[1], dtype=x.dtype)
    corners = torch.cat([unit, -unit]).unsqueeze(1).expand(-1, len(x), -1)
    ends = inside.sign() if order == "linf" else corners
    return x + radius * torch.cat([inside, inside / length, ends])


def reached(net: GraphNetwork, points: Tensor, y: Tensor) -> Tensor:
    """The largest class differences found, [P, B, K-1]."""
    count, batch = points.shape[:2]
    found = class_differences(net(points.flatten(0, 1)), y.repeat(count))
    return found.view(net.num_networks, count, batch, -1).amax(dim=1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", GRAPHS)
def test_bounds_lie_above_what_points_of_the_ball_reach(name: str, order: str) -> None:
    net = network(GRAPHS[name], seed=3)
    x, y = random_batch(3, net.num_features, net.num_classes, seed=3)
    for radius in (0.0, 0.05, 1.0):
        worst = reached(net, points_of_ball(x, order, radius, 60), y)
        ball = Ball(torch.full((2, 3), radius, dtype=x.dtype), order)  # type: ignore[arg-type]
        interval = interval_walk.worst_case_differences(net, x, y, ball)
        crown = crown_walk.worst_case_differences(net, x, y, ball)
        assert (worst <= crown + 1e-10).all()
        assert (crown <= interval + 1e-12).all()
        for method in METHODS[order]:
            given = certify.worst_case_differences(net, x, y, radius, order, method, outward=True)
            own = given.gather(2, y.view(1, -1, 1).expand(2, -1, 1))
            others = given[~torch.nn.functional.one_hot(y, given.shape[2]).bool().expand_as(given)]
            assert (own == 0).all()
            assert (worst <= others.view_as(worst)).all()
            if radius == 0:
                torch.testing.assert_close(others.view_as(worst), worst)


@pytest.mark.parametrize("order", ORDERS)
def test_bounds_of_a_network_without_relu_are_exact(order: str) -> None:
    net = network(GRAPHS["linear"])
    x, y = random_batch(3, 4, 3)
    ball = Ball(torch.full((2, 3), 0.7, dtype=x.dtype), order)  # type: ignore[arg-type]
    slopes = net.linearize(x).pullback(torch.eye(3, dtype=x.dtype).expand(2, 3, 3, 3))
    q = {"l1": float("inf"), "l2": 2.0, "linf": 1.0}[order]
    own = y.view(1, -1, 1, 1).expand(2, -1, 1, 4)
    length = torch.linalg.vector_norm(slopes - slopes.gather(2, own), ord=q, dim=3)
    logits = net(x)
    exact = logits - logits.gather(2, own[..., 0]) + 0.7 * length
    keep = ~torch.nn.functional.one_hot(y, 3).bool().expand(2, 3, 3)
    for walk in (interval_walk, crown_walk):
        found = walk.worst_case_differences(net, x, y, ball)
        torch.testing.assert_close(found, exact[keep].view_as(found))


@pytest.mark.parametrize("name", golden_files("coap"))
def test_crown_agrees_with_auto_lirpas_recorded_bounds(name: str) -> None:
    case = load_golden(name)
    radii = torch.as_tensor(case["eps"][::2])
    net = golden_network(case, torch.float64, copies=len(radii))
    x, y = golden_batch(case, torch.float64)
    ball = Ball(radii.unsqueeze(1).expand(-1, len(y)), "linf")
    keep = ~torch.nn.functional.one_hot(y, net.num_classes).bool()
    for slope, key in (("adaptive", "J_lirpa_adaptive"), ("parallel", "J_lirpa_sameslope")):
        found = crown_walk.worst_case_differences(net, x, y, ball, slope, intersect=False)
        expected = -case[key][::2][:, keep.numpy()].reshape(found.shape)
        scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
        np.testing.assert_allclose(
            found.detach().numpy() / scale, expected / scale, rtol=1e-6, atol=1e-8
        )
        tighter = crown_walk.worst_case_differences(net, x, y, ball, slope)
        assert (tighter <= found + 1e-9 * torch.as_tensor(scale)).all()


@pytest.mark.parametrize("order", ORDERS)
def test_crown_agrees_with_the_plain_reference(order: str) -> None:
    case = load_golden(golden_files("coap")[0])
    net = golden_network(case, torch.float64)
    x, y = (part[:3] for part in golden_batch(case, torch.float64))
    arrays = [[a[0].detach().numpy() for a in group] for group in (net.weights, net.biases)]
    ball = Ball(torch.full((1, 3), 0.2, dtype=x.dtype), order)  # type: ignore[arg-type]
    found = crown_walk.worst_case_differences(net, x, y, ball, intersect=False)[0]
    for point, label, own in zip(x, y, found, strict=True):
        unit = np.eye(net.num_classes)
        forms = np.delete(unit - unit[int(label)], int(label), axis=0)
        expected = upper_bounds(*arrays, point.numpy(), forms, 0.2, order, "adaptive")
        np.testing.assert_allclose(own.detach(), expected, rtol=1e-9)


def polytope(order: str, features: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Planes and limits of a polytope in the ball: itself, or a polygon inscribed in a disc."""
    unit = np.eye(features)
    if order == "linf":
        return np.concatenate([unit, -unit]), np.full(2 * features, radius)
    if order == "l1":
        signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * features)).reshape(features, -1).T
        return signs, np.full(len(signs), radius)
    sides = 32
    angles = 2 * np.pi * np.arange(sides) / sides
    planes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return planes, np.full(sides, radius * np.cos(np.pi / sides))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("graph", ["residual", "crossed"])
def test_bounds_lie_above_the_complete_search(graph: str, order: str) -> None:
    make = {"residual": residual_graph(2, 3, 3, blocks=1), "crossed": crossed_graph(2, 3, 3)}
    net = network(make[graph], seed=6)
    x, y = random_batch(2, 2, 3, seed=6)
    loose = []
    for radius in (0.1, 0.8):
        planes, limits = polytope(order, 2, radius)
        for p in range(2):
            bounds = {
                method: certify.worst_case_differences(net, x, y, radius, order, method)[p]
                for method in METHODS[order]
            }
            for b in range(2):
                exact = largest_differences(
                    net, p, x[b].numpy(), int(y[b]), planes, limits, most=60.0
                )
                worst = reached(net, points_of_ball(x[b : b + 1], order, radius, 50), y[b : b + 1])
                # The polygon leaves out 0.5% of the disc's radius, and the search its tolerance.
                slack = 1e-5 if order != "l2" else 0.05
                assert worst[p].max() <= np.delete(exact, int(y[b])).max() + slack
                for method, bound in bounds.items():
                    assert (exact <= bound[b].detach().numpy() + 1e-5).all(), method
                loose.append(float((bounds["crown"][b].detach() - torch.as_tensor(exact)).max()))
    assert min(loose) < 1e-5 or order == "l2"  # at the small radius nothing switches somewhere


@pytest.mark.parametrize("scale", [1e-150, 1e-8, 1.0, 1e8, 1e60])
@pytest.mark.parametrize("seed", range(3))
def test_outward_bounds_hold_in_rational_arithmetic(seed: int, scale: float) -> None:
    """Points of the L1 ball in exact numbers, with weights of very different sizes."""
    net = network(residual_graph(3, 4, 3, blocks=1), networks=1, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in net.weights:
            exponents = torch.randint(-12, 13, weight.shape, generator=generator)
            weight.mul_(torch.exp2(exponents.to(weight.dtype)))
        net.weights[1].mul_(scale)
    x, y = random_batch(2, 3, 3, seed=seed)
    for radius in (0.0, 0.125):
        for order in ORDERS:
            for method in METHODS[order]:
                bounds = certify.worst_case_differences(
                    net, x, y, radius, order, method, outward=True
                )[0]
                for b in range(2):
                    check_at_vertices(net, x[b], int(y[b]), radius, bounds[b])


def check_at_vertices(
    net: GraphNetwork, x: Tensor, label: int, radius: float, bounds: Tensor
) -> None:
    centre = [Fraction(v) for v in x.tolist()]
    for m in range(-1, 2 * len(centre) if radius else 0):
        point = list(centre)
        if m >= 0:
            point[m // 2] += Fraction(radius) * (1 if m % 2 else -1)
        logits = exact_logits(net, 0, point)
        for k, bound in enumerate(bounds.tolist()):
            assert k == label or logits[k] - logits[label] <= Fraction(bound)


def test_margin_is_small_beside_the_bounds() -> None:
    net = network(residual_graph(6, 20, 3), seed=1)
    x, y = random_batch(4, 6, 3)
    ball = Ball(torch.full((2, 4), 0.5, dtype=x.dtype), "linf")
    slack = WalkSlack(net, x, ball).of_differences(y)
    assert (slack > 0).all()
    assert (slack < 1e-6).all()


def test_ties_kinks_and_dead_units_prove_nothing_and_break_nothing() -> None:
    net = network(residual_graph(4, 5, 3), networks=2, seed=2)
    with torch.no_grad():
        for bias in net.biases:
            bias.zero_()  # at x = 0 every unit lies on its kink, and all classes tie
        net.weights[1][1] = 0  # dead units in one network
    x, y = torch.zeros(2, 4, dtype=torch.float64), torch.tensor([0, 2])
    for order in ORDERS:
        for method in METHODS[order]:
            at_zero = certify.worst_case_differences(net, x, y, 0.0, order, method)
            assert (at_zero.abs() < 1e-300).all()  # room for underflow
            bounds = certify.worst_case_differences(net, x, y, 0.5, order, method)
            assert bounds.isfinite().all()
            assert (bounds >= 0).all()
            assert not certify.certified(net, x, y, 0.0, order, method).any()


@pytest.mark.parametrize("order", ORDERS)
def test_numbers_that_overflow_prove_nothing(order: str) -> None:
    """Units that overflow with opposite signs meet behind a ReLU, which could hide them."""
    net = network(residual_graph(3, 4, 2), networks=1, seed=5)
    with torch.no_grad():
        for weight in list(net.weights)[:-1]:
            weight.mul_(1e200)
    x = random_batch(3, 3, 2)[0]
    for y in (torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)):
        for method in METHODS[order]:
            assert not certify.certified(net, x, y, 0.1, order, method).any()
            bounds = certify.worst_case_differences(net, x, y, 0.1, order, method)
            assert not (bounds < 0).any()


def test_costs_of_1_are_none_and_infinite_costs_fix_a_feature() -> None:
    net = network(GRAPHS["residual"], seed=4)
    x, y = random_batch(3, 4, 3, seed=4)
    for method in ("interval", "crown"):
        plain = certify.worst_case_differences(net, x, y, 0.4, "l1", method)
        ones = certify.worst_case_differences(net, x, y, 0.4, "l1", method, torch.ones(4))
        torch.testing.assert_close(ones, plain, rtol=1e-12, atol=1e-12)
        fixed = torch.tensor([1.0, float("inf"), 2.0, 1.0])
        held = certify.worst_case_differences(net, x, y, 0.4, "l1", method, fixed)
        if method == "interval":  # CROWN's slopes may turn the other way
            assert (held <= plain + 1e-12).all()
        ends = [[0.4, 0.0, 0.0, 0.0], [0.0, 0.0, -0.2, 0.0], [0.0, 0.0, 0.0, 0.4]]
        steps = torch.tensor(ends, dtype=torch.float64)
        worst = reached(net, x + steps.unsqueeze(1), y)
        keep = ~torch.nn.functional.one_hot(y, 3).bool().expand_as(held)
        assert (worst <= held[keep].view_as(worst) + 1e-10).all()


@pytest.mark.parametrize("name", ["residual", "maximum", "average"])
@pytest.mark.parametrize("order", ["l1", "linf"])
@pytest.mark.parametrize("walk", [interval_walk, crown_walk])
def test_gradient_equals_finite_differences(walk: object, order: str, name: str) -> None:
    net = network(GRAPHS[name], networks=1, seed=9)
    x, y = random_batch(2, net.num_features, net.num_classes, seed=9)
    ball = Ball(torch.full((1, 2), 0.1, dtype=x.dtype), order)  # type: ignore[arg-type]

    def total() -> Tensor:
        found: Tensor = walk.worst_case_differences(net, x, y, ball)  # type: ignore[attr-defined]
        return found.sum()

    parameters = list(net.parameters())
    gradients = torch.autograd.grad(total(), parameters)
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    step, ends = 1e-7, []
    for sign in (1, -1):
        with torch.no_grad():
            for p, d in zip(parameters, directions, strict=True):
                p.add_(sign * step * d)
            ends.append(total())
            for p, d in zip(parameters, directions, strict=True):
                p.sub_(sign * step * d)
    expected = (ends[0] - ends[1]) / (2 * step)
    found = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
